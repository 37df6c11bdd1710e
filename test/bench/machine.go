package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is where and of what figures are.
type machine struct {
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	MemoryGB int    `json:"memoryGB"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	QuorumKV string `json:"quorumkv"`
	Etcd     string `json:"etcd"`
}

// describe looks at this machine and asks the programs for their versions.
func (b *bench) describe() machine {
	m := machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), CPU: runtime.GOARCH}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, found := strings.Cut(string(text), "model name\t: "); found {
			m.CPU, _, _ = strings.Cut(rest, "\n")
		}
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryGB = int((info.Totalram*uint64(info.Unit) + 1<<29) >> 30)
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	m.QuorumKV = b.version(quorumKV, "quorumkv Version: ", "--version")
	m.Etcd = b.version(etcd, "etcd Version: ", "--version")
	return m
}

// version is what follows prefix in what the program says of itself, or else its first line.
func (b *bench) version(name, prefix string, args ...string) string {
	out, err := exec.Command(b.program(name).Path, args...).Output()
	if err != nil {
		b.h.Fatalf("ask %s for its version: %v", name, err)
	}
	_, text, found := strings.Cut(string(out), prefix)
	if !found {
		text = string(out)
	}
	text, _, _ = strings.Cut(text, "\n")
	return strings.TrimSpace(text)
}

func (m machine) String() string {
	return fmt.Sprintf("%d CPUs (%s), %d GB of memory, %s; QuorumKV %s with %s, etcd %s", m.CPUs, m.CPU, m.MemoryGB, m.Kernel,
		m.QuorumKV, m.Go, m.Etcd)
}

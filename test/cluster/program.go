package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// T is the part of testing.TB that the harness uses, so that a command can use it too.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(f func())
	TempDir() string
}

// Program is a server under test.
type Program struct {
	Name string // "etcd" or "quorumkv"
	Path string
}

// IsEtcd tells the oracle from the system under test.
func (p Program) IsEtcd() bool { return p.Name == "etcd" }

// Server returns the program that QUORUMKV_TEST_SERVER selects: "quorumkv" (default) or "etcd".
func Server(t T) Program {
	t.Helper()
	switch name := os.Getenv("QUORUMKV_TEST_SERVER"); name {
	case "", "quorumkv":
		return QuorumKV(t)
	case "etcd":
		return Etcd(t)
	default:
		t.Fatalf("QUORUMKV_TEST_SERVER is %q: want quorumkv or etcd", name)
		return Program{}
	}
}

// QuorumKV returns our own server, built beforehand.
func QuorumKV(t T) Program {
	t.Helper()
	return Program{Name: "quorumkv", Path: built(t, "QUORUMKV_BIN", "quorumkv")}
}

// Quorumctl returns the path of our own client, built beforehand.
func Quorumctl(t T) string {
	t.Helper()
	return built(t, "QUORUMCTL_BIN", "quorumctl")
}

// Etcd returns the etcd server of the version in etcd/go.mod, built on first use.
func Etcd(t T) Program {
	t.Helper()
	return Program{Name: "etcd", Path: compiled(t, "ETCD_BIN", "etcd", "go.etcd.io/etcd/server/v3")}
}

// Etcdctl returns the path of etcd's own client, built on first use.
func Etcdctl(t T) string {
	t.Helper()
	return compiled(t, "ETCDCTL_BIN", "etcdctl", "go.etcd.io/etcd/etcdctl/v3")
}

// built finds a binary that the repository's Makefile made.
func built(t T, variable, name string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		root, err := moduleRoot()
		if err != nil {
			t.Fatalf("find bin/%s: %v", name, err)
		}
		path = filepath.Join(root, "..", "bin", name)
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("find %s: %v (build it first, or set %s)", name, err, variable)
	}
	return path
}

var compileMu sync.Mutex // one go build at a time in this process

// compiled builds a main package of a module in etcd/go.mod. The result stays in the user's cache directory; the go command
// decides whether it is still current.
func compiled(t T, variable, name, pkg string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	path, err := compile(name, pkg)
	if err != nil {
		t.Fatalf("build %s: %v", name, err)
	}
	return path
}

var compiledPaths = map[string]string{} // under compileMu: name -> path, once per run

func compile(name, pkg string) (string, error) {
	compileMu.Lock()
	defer compileMu.Unlock()
	if path, ok := compiledPaths[name]; ok {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "quorumkv-test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	// Test binaries of several packages run at once and share the directory.
	lock, err := lockFile(filepath.Join(dir, name+".lock"), unix.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer lock.Close()

	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = filepath.Join(root, "etcd") // a module of its own: etcd's own choice of versions, not ours
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	compiledPaths[name] = path
	return path, nil
}

func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// moduleRoot walks up from the working directory to the test module.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/quorumkv/quorumkv/test\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not inside the module github.com/quorumkv/quorumkv/test")
		}
		dir = parent
	}
}

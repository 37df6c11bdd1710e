package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"
)

// layout is the shape of a local cluster, kept in its folder as cluster.json: the nodes remember each other's addresses,
// so neither number can change later.
//
//	cluster.json     the layout
//	n1.yaml          configuration file of node 1, written anew at every start
//	n1.log           all that node 1 wrote, appended to at every start
//	n1/              data of node 1
type layout struct {
	Nodes int `json:"nodes"`
	Port  int `json:"port"`
}

const (
	layoutFile = "cluster.json"
	portStride = 10_000
)

func (l layout) validate() error {
	if l.Nodes != 3 && l.Nodes != 5 {
		return fmt.Errorf("--nodes %d: must be 3 or 5, so that a majority outlives one or two failures", l.Nodes)
	}
	if highest := 65_535 - 1 - portStride*(l.Nodes-1); l.Port < 1 || l.Port > highest {
		return fmt.Errorf("--port %d: must be between 1 and %d, since node %d uses the ports %d above it",
			l.Port, highest, l.Nodes, portStride*(l.Nodes-1))
	}
	return nil
}

// chooseLayout returns the layout of the folder, or the wanted one when the folder is new. What the user asked for
// explicitly must agree with the folder.
func chooseLayout(dir string, want layout, nodesGiven, portGiven bool) (layout, error) {
	data, err := os.ReadFile(filepath.Join(dir, layoutFile))
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(dir)
		if err == nil && len(entries) > 0 {
			return layout{}, fmt.Errorf("--data-dir %s holds other files (%s): choose an empty or new folder",
				dir, entries[0].Name())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return layout{}, fmt.Errorf("read --data-dir: %w", err)
		}
		return want, nil
	}
	if err != nil {
		return layout{}, fmt.Errorf("read --data-dir: %w", err)
	}
	var have layout
	if err := json.Unmarshal(data, &have); err != nil || have.validate() != nil {
		return layout{}, fmt.Errorf("%s is damaged: put back {\"nodes\":3,\"port\":2379} with this cluster's numbers",
			filepath.Join(dir, layoutFile))
	}
	if nodesGiven && want.Nodes != have.Nodes {
		return layout{}, fmt.Errorf("--nodes %d: the folder %s was made with %d nodes; leave --nodes out"+
			" or choose another --data-dir", want.Nodes, dir, have.Nodes)
	}
	if portGiven && want.Port != have.Port {
		return layout{}, fmt.Errorf("--port %d: the folder %s was made with port %d; leave --port out"+
			" or choose another --data-dir", want.Port, dir, have.Port)
	}
	return have, nil
}

func (l layout) makeNodes(dir string) []*node {
	var nodes []*node
	for i := range l.Nodes {
		name := "n" + strconv.Itoa(i+1)
		port := l.Port + portStride*i
		nodes = append(nodes, &node{
			name:       name,
			clientPort: port,
			peerPort:   port + 1,
			data:       filepath.Join(dir, name),
			log:        filepath.Join(dir, name+".log"),
			config:     filepath.Join(dir, name+".yaml"),
			done:       make(chan struct{}),
		})
	}
	return nodes
}

// checkPorts tries every port before anything starts: one clear line now rather than a half-started cluster.
func checkPorts(nodes []*node) error {
	for _, n := range nodes {
		for _, p := range []struct {
			port int
			use  string
		}{{n.clientPort, "clients"}, {n.peerPort, "peers"}} {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("port %d (%s of %s) is taken: stop the process that has it, or choose another --port",
					p.port, p.use, n.name)
			}
			if err != nil {
				return fmt.Errorf("listen on port %d (%s of %s): %w", p.port, p.use, n.name, err)
			}
			if err := l.Close(); err != nil {
				return fmt.Errorf("close the trial listener on port %d: %w", p.port, err)
			}
		}
	}
	return nil
}

// writeFolder makes the folder with everything but the data, which the nodes make themselves.
func writeFolder(dir string, l layout, nodes []*node) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make --data-dir: %w", err)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode %s: %w", layoutFile, err)
	}
	if err := replaceFile(filepath.Join(dir, layoutFile), append(text, '\n')); err != nil {
		return fmt.Errorf("write to --data-dir: %w", err)
	}
	var members []string
	for _, n := range nodes {
		members = append(members, n.name+"="+n.peerURL())
	}
	for _, n := range nodes {
		text, err := yaml.Marshal(nodeConfig{
			Name: n.name, DataDir: n.data,
			ListenClientURLs: n.clientURL(), AdvertiseClientURLs: n.clientURL(),
			ListenPeerURLs: n.peerURL(), AdvertisePeerURLs: n.peerURL(),
			InitialCluster: strings.Join(members, ","), InitialClusterToken: "local-cluster",
			LogFormat: "text", DiskBallastBytes: localBallastBytes,
		})
		if err != nil {
			return fmt.Errorf("encode the configuration of %s: %w", n.name, err)
		}
		header := "# Written by `quorumkv cluster` at every start; changes do not last.\n"
		if err := replaceFile(n.config, append([]byte(header), text...)); err != nil {
			return fmt.Errorf("write to --data-dir: %w", err)
		}
	}
	return nil
}

// nodeConfig is the part of the configuration file that the nodes of a local cluster need.
type nodeConfig struct {
	Name                string `yaml:"name"`
	DataDir             string `yaml:"data-dir"`
	ListenClientURLs    string `yaml:"listen-client-urls"`
	AdvertiseClientURLs string `yaml:"advertise-client-urls"`
	ListenPeerURLs      string `yaml:"listen-peer-urls"`
	AdvertisePeerURLs   string `yaml:"initial-advertise-peer-urls"`
	InitialCluster      string `yaml:"initial-cluster"`
	InitialClusterToken string `yaml:"initial-cluster-token"`
	LogFormat           string `yaml:"log-format"`
	DiskBallastBytes    int64  `yaml:"disk-ballast-bytes"`
}

// localBallastBytes is what each node reserves: they share a disk with everything else that its owner does.
const localBallastBytes = 64 << 20

// replaceFile writes beside the file and renames, so that a full disk leaves the old one whole.
func replaceFile(path string, data []byte) error {
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/quorumkv/quorumkv/internal/local"
)

// layout is the shape of a local cluster, kept in its folder as cluster.json: the nodes remember each other's addresses,
// so neither number can change later.
//
//	cluster.json     the layout
//	n1.yaml ...      of the nodes, see local.Cluster.WriteFiles
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

// nodes are the nodes of the layout, each with its ports.
func (l layout) nodes(settings map[string]string) []local.NodeConfig {
	var nodes []local.NodeConfig
	for i := range l.Nodes {
		port := l.Port + portStride*i
		nodes = append(nodes, local.NodeConfig{Name: "n" + strconv.Itoa(i+1), ClientPort: port, PeerPort: port + 1, Settings: settings})
	}
	return nodes
}

// writeFolder makes the folder with everything but the data, which the nodes make themselves.
func writeFolder(dir string, l layout, c *local.Cluster) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make --data-dir: %w", err)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode %s: %w", layoutFile, err)
	}
	if err := local.ReplaceFile(filepath.Join(dir, layoutFile), append(text, '\n')); err != nil {
		return fmt.Errorf("write to --data-dir: %w", err)
	}
	if err := c.WriteFiles(); err != nil {
		return fmt.Errorf("write to --data-dir: %w", err)
	}
	return nil
}

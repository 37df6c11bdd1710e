package local

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteFiles writes the configuration files, anew, into the folder, which must be there:
//
//	n1.yaml          configuration file of the node n1
//	n1.log           all that it wrote, appended to at every start
//	n1/              its data, which it makes itself
func (c *Cluster) WriteFiles() error {
	var members []string
	for _, n := range c.nodes {
		members = append(members, n.Name+"="+n.PeerURL())
	}
	for _, n := range c.nodes {
		text, err := n.configText(strings.Join(members, ","))
		if err != nil {
			return fmt.Errorf("encode the configuration of %s: %w", n.Name, err)
		}
		if err := ReplaceFile(n.Config, text); err != nil {
			return err
		}
	}
	return nil
}

// ballastBytes is what each node reserves on its disk: 64 MiB.
const ballastBytes = "67108864"

// configText is a node's configuration file: what the cluster needs, in this order, with the node's own settings instead
// where there are such, then the rest of those.
func (n *Node) configText(members string) ([]byte, error) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "# Written by `%s` at every start; changes do not last.\n", n.writer)
	rest := maps.Clone(n.settings)
	for _, s := range []struct{ key, value string }{
		{"name", n.Name},
		{"data-dir", n.Data},
		{"listen-client-urls", n.ClientURL()},
		{"advertise-client-urls", n.ClientURL()},
		{"listen-peer-urls", n.PeerURL()},
		{"initial-advertise-peer-urls", n.PeerURL()},
		{"initial-cluster", members},
		{"initial-cluster-token", "local-cluster"},
		{"log-format", "text"},
		{"disk-ballast-bytes", ballastBytes}, // the nodes share a disk with everything else that its owner does
	} {
		if own, ok := rest[s.key]; ok {
			s.value = own
			delete(rest, s.key)
		}
		if err := writeSetting(&text, s.key, s.value); err != nil {
			return nil, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(rest)) {
		if err := writeSetting(&text, key, rest[key]); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

func writeSetting(text *bytes.Buffer, key, value string) error {
	line, err := yaml.Marshal(map[string]string{key: value})
	text.Write(line)
	return err
}

// ReplaceFile writes beside the file and renames, so that a full disk leaves the old one whole.
func ReplaceFile(path string, data []byte) error {
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

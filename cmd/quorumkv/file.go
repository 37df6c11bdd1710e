package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// given is the text of one setting and where it stands, for messages.
type given struct {
	text  string
	where string
}

// readFile reads a configuration file: YAML (so JSON as well) with one key for each setting, named as the flag. As in etcd
// a list may be one text with commas, and durations may be integers: nanoseconds, but milliseconds for heartbeat-interval
// and election-timeout. Unlike in etcd a file does not switch off flags and environment, and an unknown key is an error.
func readFile(path string) (map[string]given, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read --config-file: %w", err)
	}
	var doc yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read --config-file %s: %w", path, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read --config-file %s: it must hold one YAML document and nothing after it", path)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: want lines such as \"name: node1\"", path, root.Line)
	}
	values, lines := map[string]given{}, map[string]int{}
	for i := 0; i < len(root.Content); i += 2 {
		key, node := root.Content[i], root.Content[i+1]
		where := fmt.Sprintf("%s:%d: %s", path, key.Line, key.Value)
		if first, ok := lines[key.Value]; ok {
			return nil, fmt.Errorf("%s stands on line %d already", where, first)
		}
		lines[key.Value] = key.Line
		if advice, ok := foreignBlocks[key.Value]; ok {
			if err := checkBlock(where, advice, node); err != nil {
				return nil, err
			}
			continue
		}
		kind, ok := kindOf(key.Value)
		if !ok {
			return nil, fmt.Errorf("%s:%d: unknown key %q%s", path, key.Line, key.Value, suggest(key.Value, fileKeys(), "%q"))
		}
		text, err := nodeText(node, kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if text != "" {
			values[key.Value] = given{text, where}
		}
	}
	return values, nil
}

// nodeText is a node's value in the form that flags take. A missing value is the empty text, which counts as not given.
func nodeText(node *yaml.Node, kind string) (string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return "", nil
		}
		if node.Tag == "!!int" && kind == kindDuration {
			return node.Value + "ns", nil
		}
		return node.Value, nil
	case yaml.SequenceNode:
		var words []string
		for _, item := range node.Content {
			text, err := nodeText(item, kind)
			if err != nil {
				return "", err
			}
			words = append(words, text)
		}
		return strings.Join(words, ","), nil
	}
	return "", errors.New("want a single value or a list, not a nested section or an alias")
}

// checkBlock accepts a section whose values are all empty or false, as in etcd's sample file.
func checkBlock(where, advice string, node *yaml.Node) error {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag != "!!null" && node.Value != "" && node.Value != "false" {
			return unsupported(where, advice)
		}
	case yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			if err := checkBlock(where+"."+node.Content[i].Value, advice, node.Content[i+1]); err != nil {
				return err
			}
		}
	case yaml.SequenceNode:
		for _, item := range node.Content {
			if err := checkBlock(where, advice, item); err != nil {
				return err
			}
		}
	case yaml.AliasNode:
		return unsupported(where, advice)
	}
	return nil
}

// kindOf returns the kind of a setting, ours or etcd's, and whether there is one of that name.
func kindOf(name string) (string, bool) {
	for _, s := range settings {
		if s.name == name {
			return s.kind, true
		}
	}
	for _, f := range foreignSettings {
		if f.name == name {
			return "", true
		}
	}
	return "", false
}

// fileKeys are the keys worth suggesting.
func fileKeys() []string {
	keys := make([]string, len(settings))
	for i, s := range settings {
		keys[i] = s.name
	}
	return keys
}

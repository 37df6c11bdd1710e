package cluster

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Get fetches a path from the node's client port. A status other than 200 is an error; the body comes with it.
func (n *Node) Get(path string) (string, error) {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(n.ClientURL() + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(body), err
}

// Metric returns the sum of all series of one metric; ok is false when the node has none.
func (n *Node) Metric(name string) (sum float64, ok bool) {
	n.t.Helper()
	text, err := n.Get("/metrics")
	if err != nil {
		n.t.Fatalf("read metrics of %s: %v", n.Name, err)
	}
	for line := range strings.Lines(text) {
		series, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if base, labels, labelled := strings.Cut(series, "{"); labelled {
			series = base
			if i := strings.LastIndex(line, "} "); i >= 0 && labels != "" {
				value = strings.TrimSpace(line[i+2:])
			}
		}
		if !found || series != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			n.t.Fatalf("read metric %s of %s: %v", name, n.Name, err)
		}
		sum, ok = sum+v, true
	}
	return sum, ok
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// dataLoad is how many keys a server must hold, and from how many clients they come.
type dataLoad struct{ keys, clients int }

// dataLoads are etcdctl's, whose results people compare with.
var dataLoads = map[string]dataLoad{"s": {10000, 50}, "m": {100000, 200}, "l": {1000000, 500}, "xl": {3000000, 1000}}

func (a *app) newCheckDatascale() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "datascale [options]",
		Short: "Check how much memory a server needs for its data",
		Long: "Write many keys of one kilobyte each, and print by how much the memory of the first server of --endpoints " +
			"grew.\nThe keys are deleted again. The memory is read from the server's /metrics.",
		Example: `  quorumctl check datascale
  quorumctl check datascale --load m --auto-compact --auto-defrag`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.register(cmd.Flags(), "/etcdctl-check-datascale/",
		"s, m, l or xl: 10000, 100000, 1000000 or 3000000 keys from 50, 200, 500 or 1000 clients")
	completeFlag(cmd, "load", loadValues...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && isFolder(args[0]) { // `check data DIR` is short for this command, as in etcdctl
			return failf(exitBadArgs, "check datascale takes no folder, and has written nothing").
				hint("to look for damage in the files of a member: quorumctl check files %s", args[0])
		}
		name, err := f.loadName()
		if err != nil {
			return err
		}
		load := dataLoads[name]
		c, err := a.openCheck(cmd, f, load.clients, "prefix %q has keys. Delete with quorumctl del --prefix %s first")
		if err != nil {
			return err
		}
		defer c.close()
		return c.datascale(load)
	}
	return cmd
}

func (c *check) datascale(load dataLoad) error {
	const keySize, valueSize = 512, 512
	before, err := c.serverMemory("before")
	if err != nil {
		return err
	}
	c.printf("Start data scale check for work load [%v key-value pairs, %v bytes per key-value, %v concurrent clients].\n",
		load.keys, keySize+valueSize, load.clients)
	bar := c.app.progress("keys", int64(load.keys))
	tokens := make(chan struct{}, load.clients)
	go func() { // ends when all keys are given out, or with the context; write waits for it
		defer close(tokens)
		for range load.keys {
			select {
			case tokens <- struct{}{}:
			case <-c.stop.ctx.Done():
				return
			}
		}
	}()
	s := c.write(keySize, valueSize, tokens, func() { bar.Increment() })
	bar.Finish()
	after, memoryErr := c.serverMemory("after")
	revision, err := c.remove()
	switch {
	case err != nil:
		return err
	case c.stop.ctx.Err() != nil:
		return interrupted(true)
	case memoryErr != nil:
		return memoryErr
	}
	if err := c.tidy(revision); err != nil {
		return err
	}
	if c.printErrors(s) {
		return &failure{code: exitError}
	}
	c.printf("PASS: Approximate system memory used : %v MB.\n",
		strconv.FormatFloat((after-before)/(1024*1024), 'f', 2, 64))
	return nil
}

// memoryMetric is what the Prometheus client libraries call the memory of a process.
const memoryMetric = "process_resident_memory_bytes"

// serverMemory asks the first endpoint how much memory its process uses.
func (c *check) serverMemory(when string) (float64, error) {
	s := c.clients[0]
	endpoint := s.Endpoints()[0]
	ctx, cancel := s.context()
	defer cancel()
	memory, err := readMemory(ctx, s.reach(), endpoint)
	if err != nil {
		c.printf("FAIL: Could not read %s %s the put operations.\n", memoryMetric, when)
		return 0, failf(exitError, "read the metrics of %s: %w", endpoint, err).
			hint("the memory is read from /metrics of the first endpoint, which must be its client port")
	}
	return memory, nil
}

func readMemory(ctx context.Context, r reach, endpoint string) (float64, error) {
	network, address := networkAddress(endpoint)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	defer transport.CloseIdleConnections()
	url := "http://" + address + "/metrics"
	if network == "unix" {
		url = "http://unix/metrics"
	}
	if config := r.tlsConfig(endpoint, address); config != nil {
		config.NextProtos = []string{"http/1.1"}
		transport.TLSClientConfig = config
		url = "https" + strings.TrimPrefix(url, "http")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("it answers %s", response.Status)
	}
	return findMemory(response.Body)
}

func findMemory(metrics io.Reader) (float64, error) {
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), memoryMetric+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("they do not contain %s", memoryMetric)
}

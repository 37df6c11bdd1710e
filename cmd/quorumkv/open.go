package main

import (
	"github.com/hashicorp/go-hclog"
	"github.com/quorumkv/quorumkv/server"
)

// openServer opens a member. It is the only place where this command meets the code that serves.
func openServer(cfg server.Config, logger hclog.Logger) (member, error) {
	s, err := server.Open(cfg, logger)
	if err != nil {
		return nil, err
	}
	return s, nil
}

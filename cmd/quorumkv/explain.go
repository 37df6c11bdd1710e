package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/quorumkv/quorumkv/server"
)

// explain adds to failures that an operator can mend what to look at. The error below names the file or address.
func explain(err error, cfg server.Config) error {
	data := fmt.Sprintf("--data-dir %s", cfg.DataDir)
	for _, e := range []struct {
		errno syscall.Errno
		hint  string
	}{
		{syscall.EADDRINUSE, "another process has this address: stop it, or choose other --listen-*-urls"},
		{syscall.EADDRNOTAVAIL, "this machine does not have this address: correct --listen-*-urls"},
		{syscall.EROFS, data + " must be on a disk that can be written"},
		{syscall.EACCES, data + " and its contents must be writable for this user, and ports below 1024 are root's"},
		{syscall.EPERM, data + " and its contents must be writable for this user"},
		{syscall.ENOTDIR, data + " must be a directory"},
		{syscall.ENOSPC, "the disk of " + data + " is full"},
		{syscall.EDQUOT, "the disk quota for " + data + " is used up"},
		{syscall.EMFILE, "raise the limit of open files (ulimit -n)"},
	} {
		if errors.Is(err, e.errno) {
			return fmt.Errorf("%w (%s)", err, e.hint)
		}
	}
	return err
}

// oneLine is an error's text without line breaks.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

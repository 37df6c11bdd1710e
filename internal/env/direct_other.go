//go:build !linux

package env

import "os"

// openDirect knows no way.
func openDirect(*os.File) (*directFile, error) { return nil, nil }

func fillDirect(*os.File, int64) (done bool, err error) { return false, nil }

type directFile struct{ osFile }

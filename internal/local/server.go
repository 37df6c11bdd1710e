package local

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const serverName = "quorumkv"

// FindServer returns the path of the server's executable: the named file if there is a name, else quorumkv beside the
// running program, else in PATH. flag is how the user names it, for the error.
func FindServer(named, flag string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program's file: %w", err)
	}
	return findServer(named, flag, filepath.Dir(self))
}

func findServer(named, flag, beside string) (string, error) {
	if named != "" {
		path, err := filepath.Abs(named)
		if err == nil {
			_, err = exec.LookPath(path)
		}
		if err != nil {
			return "", fmt.Errorf("%s %s is not a program that can be run: %w", flag, named, err)
		}
		return path, nil
	}
	neighbour := filepath.Join(beside, serverName)
	if path, err := exec.LookPath(neighbour); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath(serverName); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("the server's program %s is neither beside this one (%s) nor in PATH (%s):"+
		" build it there, or name it with %s FILE", serverName, neighbour, os.Getenv("PATH"), flag)
}

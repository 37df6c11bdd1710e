package backend

import (
	"bytes"
	"errors"
	"fmt"
	"os" //determinism:ok bbolt maps a real file and takes an *os.File

	"go.etcd.io/bbolt"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Inventory is what lies in a state directory.
type Inventory struct {
	// File is the name of the live generation's bbolt file.
	File string
	// Bytes is its size.
	Bytes int64
	// Leftovers are generations that CURRENT does not name: a crash left them, and the next Open removes them.
	Leftovers []string
	// Attempts counts the attempts to open the live generation that died, as far as they matter: 0, 1 or 2. After two the
	// next Open takes it for damaged.
	Attempts int
}

// Inspect looks at a state directory and changes nothing. The error matches fs.ErrNotExist if there is no CURRENT, and
// ErrDamaged if it cannot be read, or the file that it names is missing, too short, or was condemned.
func Inspect(fsys env.FS, dir string) (Inventory, error) {
	g, err := currentGeneration(fsys, dir)
	if err != nil {
		return Inventory{}, fmt.Errorf("inspect state: %w", err)
	}
	v := Inventory{File: g.file(dbName)}
	numbers, err := listGenerations(fsys, dir)
	if err != nil {
		return v, err
	}
	for _, n := range numbers {
		if n != g.number {
			v.Leftovers = append(v.Leftovers, generation{fs: fsys, dir: dir, number: n}.path())
		}
	}
	for i, marker := range [...]string{openingName, reopeningName} {
		switch there, err := g.has(marker); {
		case err != nil:
			return v, fmt.Errorf("inspect state: %w", err)
		case there:
			v.Attempts = i + 1
		}
	}
	if err := g.refuseCondemned(); err != nil {
		return v, fmt.Errorf("inspect state: %w", err)
	}
	if err := checkFile(g.osPath()); err != nil {
		return v, fmt.Errorf("inspect state: %w", err)
	}
	info, err := os.Stat(g.osPath())
	if err != nil {
		return v, fmt.Errorf("inspect state: %w", err)
	}
	v.Bytes = info.Size()
	return v, nil
}

// OpenReadOnly opens the live generation for Read and Pin alone: nothing is written, swept or marked. Its errors are
// those of Open, but for attempts that died: it does not count them.
func OpenReadOnly(fsys env.FS, dir string) (*DB, error) {
	g, err := currentGeneration(fsys, dir)
	if err == nil {
		err = g.refuseCondemned()
	}
	if err == nil {
		err = checkFile(g.osPath())
	}
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	d, err := openReadOnly(g.osPath())
	if err == nil {
		err = d.requireBuckets()
	}
	if err != nil {
		d.abandon()
		return nil, fmt.Errorf("open state %s: %w", g, classify(err))
	}
	return d, nil
}

func openReadOnly(path string) (*DB, error) {
	d := new(DB)
	err := guard(func() (err error) {
		d.bolt, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:      lockTimeout,
			ReadOnly:     true,
			FreelistType: bbolt.FreelistArrayType,
			OpenFile: func(name string, _ int, _ os.FileMode) (*os.File, error) {
				file, err := os.Open(name)
				d.file = file
				return file, err
			},
		})
		return err
	})
	return d, err
}

// walk reads all keys of a file, in order. bbolt does much the same when it opens one for writing, but in a goroutine of its
// own, where rotten pages kill the process.
func walk(path string) error {
	d, err := openReadOnly(path)
	if err == nil {
		err = d.Read(walkBuckets)
	}
	d.abandon()
	return classify(err)
}

func walkBuckets(tx *bbolt.Tx) error {
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		var last []byte
		c := b.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			if last != nil && bytes.Compare(last, k) >= 0 {
				return fmt.Errorf("keys of bucket %s are out of order: %w", name, ErrDamaged)
			}
			last = k
		}
		return nil
	})
}

// CheckPages lets bbolt walk every page of a file and passes what it finds to bad: pages that are in use twice or not at
// all, of no known kind, or with keys out of order. It says nothing about what the pages hold.
//
// A rotten page may kill the process, in a goroutine of bbolt's where no recover can help. So a tool that has more to
// say runs it in a process of its own.
func CheckPages(path string, bad func(error)) error {
	d, err := openReadOnly(path)
	if err == nil {
		err = d.Read(func(tx *bbolt.Tx) error {
			for problem := range tx.Check() { //determinism:ok bbolt's own goroutine; in tools only
				bad(problem)
			}
			return nil
		})
	}
	if err != nil {
		err = fmt.Errorf("check pages of %s: %w", path, classify(err))
	}
	if d.bolt == nil {
		return err
	}
	return errors.Join(err, d.Close())
}

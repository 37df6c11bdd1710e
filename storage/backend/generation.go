package backend

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os" //determinism:ok a new generation is filled where bbolt will map it
	"path"
	"strconv"

	"github.com/quorumkv/quorumkv/internal/env"
)

const (
	currentName   = "CURRENT"
	dbName        = "db"
	openingName   = "opening"
	reopeningName = "reopening"

	generationDigits = 16
	currentBytes     = generationDigits + 1 + 8 + 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// generation is one directory below dir.
type generation struct {
	fs     env.FS
	dir    string // the parent of all generations
	number uint64
}

func (g generation) name() string         { return fmt.Sprintf("%0*x", generationDigits, g.number) }
func (g generation) path() string         { return path.Join(g.dir, g.name()) }
func (g generation) file(n string) string { return path.Join(g.path(), n) }
func (g generation) osPath() string       { return g.fs.MapPath(g.file(dbName)) }
func (g generation) String() string       { return g.path() }

// Exists reports whether dir holds a state, healthy or not.
func Exists(fsys env.FS, dir string) (bool, error) {
	f, err := fsys.Open(path.Join(dir, currentName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if errors.Is(err, env.ErrUnreadable) {
		return true, nil // what it is worth, Open says
	}
	if err != nil {
		return false, fmt.Errorf("look for state: %w", err)
	}
	return true, f.Close()
}

// Create makes the first generation, with every bucket and the changes of first (may be nil), and makes it current. A
// crash on the way leaves no state.
func Create(fsys env.FS, dir string, o Options, first *Batch) (*DB, error) {
	g, err := newGeneration(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("create state: %w", err)
	}
	d, err := openBolt(g.osPath(), o, true, first)
	if err != nil {
		return nil, fmt.Errorf("create state: %w", err)
	}
	if err = fsys.SyncDir(g.path()); err == nil {
		err = g.nominate()
	}
	if err == nil {
		err = g.makeCurrent()
	}
	if err != nil {
		d.abandon()
		return nil, fmt.Errorf("create state: %w", err)
	}
	g.sweep()
	return d, nil
}

// Open opens the current generation and sweeps away the others. Damage, also that which has killed the last two
// attempts to open it (but see Options.Insist), is ErrDamaged.
func Open(fsys env.FS, dir string, o Options) (*DB, error) {
	g, err := currentGeneration(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	if err := checkFile(g.osPath()); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	marker, err := g.mark(o.Insist)
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", g, err)
	}
	var d *DB
	if marker == reopeningName {
		err = walk(g.osPath()) // of what the last attempt may have died of
	}
	if err == nil {
		d, err = openBolt(g.osPath(), o, false, nil)
	}
	if err != nil {
		// The attempt came back with an answer, so it leaves no marker; a rebuild makes another generation anyway.
		if unmark := g.unmark(marker); unmark != nil {
			err = fmt.Errorf("%w; %w", err, unmark)
		}
		return nil, fmt.Errorf("open state %s: %w", g, err)
	}
	// A process that was killed in the middle of a switch leaves a CURRENT that a power cut takes back. The generation of
	// before goes only once none can.
	if err = fsys.SyncDir(dir); err == nil {
		g.sweep()
		err = g.unmark(marker)
	}
	if err != nil {
		d.abandon()
		return nil, fmt.Errorf("open state %s: %w", g, err)
	}
	return d, nil
}

// mark makes the attempt to open this generation visible to the next one, and returns the marker's name.
func (g generation) mark(insist bool) (marker string, err error) {
	if err := g.refuseCondemned(); err != nil {
		return "", err
	}
	twice, err := g.has(reopeningName)
	switch {
	case err != nil:
		return "", err
	case twice && insist:
		return reopeningName, nil
	case twice:
		return "", ErrSuspect
	}
	once, err := g.has(openingName)
	if err != nil {
		return "", err
	}
	if once {
		marker = reopeningName
		err = g.fs.Rename(g.file(openingName), g.file(reopeningName))
	} else {
		marker = openingName
		err = writeFile(g.fs, g.file(openingName), nil)
	}
	if err == nil {
		err = g.fs.SyncDir(g.path())
	}
	if err != nil {
		return "", fmt.Errorf("write marker %s: %w", marker, err)
	}
	return marker, nil
}

func (g generation) unmark(marker string) error {
	if err := g.fs.Remove(g.file(marker)); err != nil {
		return fmt.Errorf("remove marker %s: %w", marker, err)
	}
	if err := g.fs.SyncDir(g.path()); err != nil {
		return fmt.Errorf("remove marker %s: %w", marker, err)
	}
	return nil
}

// has reports whether the generation's directory holds a name.
func (g generation) has(name string) (bool, error) {
	f, err := g.fs.Open(g.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

// newGeneration makes the directory of a generation with a number higher than any in use.
func newGeneration(fsys env.FS, dir string) (generation, error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return generation{}, err
	}
	if err := fsys.SyncDir(path.Dir(dir)); err != nil {
		return generation{}, err
	}
	numbers, err := listGenerations(fsys, dir)
	if err != nil {
		return generation{}, err
	}
	g := generation{fs: fsys, dir: dir, number: 1}
	if n := len(numbers); n > 0 {
		g.number = numbers[n-1] + 1
	}
	if err := fsys.MkdirAll(g.path()); err != nil {
		return generation{}, err
	}
	return g, fsys.SyncDir(dir)
}

// listGenerations returns the numbers of all generations, growing.
func listGenerations(fsys env.FS, dir string) ([]uint64, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list generations: %w", err)
	}
	var numbers []uint64
	for _, name := range names { // sorted, and of equal length where they matter
		if n, err := strconv.ParseUint(name, 16, 64); err == nil && len(name) == generationDigits {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// nominate writes what CURRENT will hold once g is current.
func (g generation) nominate() error {
	tmp := path.Join(g.dir, currentName+".tmp")
	if err := writeFile(g.fs, tmp, encodeCurrent(g.number)); err != nil {
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	return nil
}

// makeCurrent lets CURRENT name g, whose content must be durable and which was the last to be nominated. Once it returns
// nil the switch survives any crash.
func (g generation) makeCurrent() error {
	tmp := path.Join(g.dir, currentName+".tmp")
	if err := g.fs.Rename(tmp, path.Join(g.dir, currentName)); err != nil {
		return fmt.Errorf("make %s current: %w", g, err)
	}
	if err := g.fs.SyncDir(g.dir); err != nil {
		return fmt.Errorf("make %s current: %w", g, err)
	}
	return nil
}

// sweep removes what a crash or a switch left behind: all generations but g, and those that are evidence. A name that
// resists costs space only, and the next sweep tries again.
func (g generation) sweep() {
	g.fs.Remove(path.Join(g.dir, currentName+".tmp"))
	numbers, err := listGenerations(g.fs, g.dir)
	if err != nil {
		return
	}
	for _, n := range numbers {
		old := generation{fs: g.fs, dir: g.dir, number: n}
		if n == g.number || old.worthKeeping() && old.setAside() == nil {
			continue
		}
		old.remove()
	}
}

func (g generation) remove() error {
	if err := removeDirectory(g.fs, g.path()); err != nil {
		return fmt.Errorf("remove %s: %w", g, err)
	}
	return nil
}

func removeDirectory(fsys env.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := fsys.Remove(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return fsys.Remove(dir)
}

// currentGeneration reads CURRENT.
func currentGeneration(fsys env.FS, dir string) (generation, error) {
	name := path.Join(dir, currentName)
	f, err := fsys.Open(name)
	if errors.Is(err, env.ErrUnreadable) {
		return generation{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return generation{}, err
	}
	defer f.Close()
	var b [currentBytes + 1]byte // one more, to see that nothing follows
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return generation{}, fmt.Errorf("read %s: %w: %w", name, ErrDamaged, err)
	}
	number, ok := decodeCurrent(b[:n])
	if !ok {
		return generation{}, fmt.Errorf("%s holds %q: %w", name, b[:n], ErrDamaged)
	}
	return generation{fs: fsys, dir: dir, number: number}, nil
}

func encodeCurrent(number uint64) []byte {
	digits := fmt.Sprintf("%0*x", generationDigits, number)
	return fmt.Appendf(nil, "%s %08x\n", digits, crc32.Checksum([]byte(digits), castagnoli))
}

func decodeCurrent(b []byte) (uint64, bool) {
	if len(b) != currentBytes {
		return 0, false
	}
	number, err := strconv.ParseUint(string(b[:generationDigits]), 16, 64)
	return number, err == nil && string(encodeCurrent(number)) == string(b)
}

// writeFile makes a small file with this content, durable but for its name.
func writeFile(fsys env.FS, name string, content []byte) error {
	f, err := fsys.Create(name, int64(len(content)))
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	if err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// Staged is a generation that is complete and durable but not current.
type Staged struct {
	g  generation
	db *DB
}

// Stage builds a generation from the content of a snapshot (what WriteTo wrote). The state in use is not touched. Only the
// generation staged last can be switched to, and switching to it takes no space.
func Stage(fsys env.FS, dir string, o Options, content io.Reader) (*Staged, error) {
	g, err := newGeneration(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("stage state: %w", err)
	}
	s := &Staged{g: g}
	if err = fill(g.osPath(), o, content); err == nil {
		err = fsys.SyncDir(g.path())
	}
	if err == nil {
		err = checkFile(g.osPath())
	}
	if err == nil {
		err = walk(g.osPath())
	}
	if err == nil {
		s.db, err = openBolt(g.osPath(), o, false, nil)
	}
	if err == nil {
		if err = g.nominate(); err != nil {
			s.db.abandon()
		}
	}
	if err != nil {
		g.remove() // best effort; the next sweep tries again
		return nil, fmt.Errorf("stage state %s: %w", g, err)
	}
	return s, nil
}

// fill copies content into a new file, durably.
func fill(name string, o Options, content io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return noSpace(err)
	}
	_, err = io.Copy(f, content)
	if err == nil && !o.NoSync {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return noSpace(err)
}

// DB is the generation, open, for whoever wants to see what is in it before it counts.
func (s *Staged) DB() *DB { return s.db }

// Switch makes the generation current and returns it, open. The caller has closed the DB of the old one, which is
// deleted. After an error either the old or the new generation is current: the next Open finds out.
func (s *Staged) Switch() (*DB, error) {
	if err := s.g.makeCurrent(); err != nil {
		s.db.abandon()
		return nil, fmt.Errorf("switch state: %w", err)
	}
	s.g.sweep()
	return s.db, nil
}

// Discard removes the generation.
func (s *Staged) Discard() error {
	s.db.abandon()
	if err := s.g.remove(); err != nil {
		return fmt.Errorf("discard staged state: %w", err)
	}
	return nil
}

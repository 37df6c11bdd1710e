package backend

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"go.etcd.io/bbolt"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// A commit of bbolt grows the file and syncs that, writes its pages and syncs them, writes the meta page and syncs it.
// The tests below record those writes and put together what a power cut leaves before each sync: any subset of the
// sectors written since the last one, any size on the way.

const sectorSize = 512

// cut names what a power cut interrupts.
type cut int

const (
	cutGrow  cut = iota // the new size is not synced
	cutPages            // the pages are not synced
	cutMeta             // the meta page is not synced
	cutDone             // Commit has returned
	cuts
)

func (c cut) String() string {
	return [cuts]string{"growing", "writing pages", "writing meta", "done"}[c]
}

type diskWrite struct {
	off  int64
	data []byte
}

// recording is one commit as the disk saw it.
type recording struct {
	before []byte // the file, all of it durable
	size   int64  // of the file once it has grown
	pages  []diskWrite
	meta   []diskWrite
}

// writeHook is where bbolt keeps the function that it writes with.
func writeHook(d *DB) *func(p []byte, off int64) (int, error) {
	field := reflect.ValueOf(d.bolt).Elem().FieldByName("ops").FieldByName("writeAt")
	return (*func([]byte, int64) (int, error))(unsafe.Pointer(field.UnsafeAddr()))
}

// record carries out a commit whose writes pass through bbolt's own hook.
func record(d *DB, path string, b *Batch) (r recording, err error) {
	if r.before, err = os.ReadFile(path); err != nil {
		return r, err
	}
	hook := writeHook(d)
	write := *hook
	metaEnd := int64(metaPages * os.Getpagesize())
	*hook = func(p []byte, off int64) (int, error) {
		w := diskWrite{off, bytes.Clone(p)}
		switch {
		case off < metaEnd:
			r.meta = append(r.meta, w)
		case len(r.meta) > 0:
			return 0, fmt.Errorf("page at %d written after the meta page", off)
		default:
			r.pages = append(r.pages, w)
		}
		return write(p, off)
	}
	defer func() { *hook = write }()
	if err = d.Commit(b); err != nil {
		return r, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return r, err
	}
	if r.size = info.Size(); len(r.meta) != 1 { // no pages if nothing changed
		return r, fmt.Errorf("a commit of %d pages and %d meta pages", len(r.pages), len(r.meta))
	}
	for _, w := range r.pages {
		if w.off+int64(len(w.data)) > r.size {
			return r, fmt.Errorf("page at %d lies behind the end of %d bytes", w.off, r.size)
		}
	}
	return r, nil
}

// image is a file that a power cut at c may leave. With skipSync the sync between the pages and the meta page did not
// happen.
func (r recording) image(c cut, skipSync bool, rng *rand.Rand) []byte {
	size := r.size
	if c == cutGrow {
		size = r.sizeWhileGrowing(rng)
	}
	img := make([]byte, size)
	copy(img, r.before)
	if c == cutGrow {
		return img
	}
	share := anyShare(rng)
	if c == cutPages || c == cutMeta && skipSync {
		apply(img, r.pages, share, rng)
	} else {
		apply(img, r.pages, 1, rng)
	}
	switch {
	case c == cutDone:
		apply(img, r.meta, 1, rng)
	case c == cutMeta && skipSync:
		apply(img, r.meta, share, rng)
	case c == cutMeta:
		r.tearMeta(img, rng)
	}
	return img
}

// sizeWhileGrowing is the old size, the new one, or one in between.
func (r recording) sizeWhileGrowing(rng *rand.Rand) int64 {
	old := int64(len(r.before))
	switch rng.IntN(4) {
	case 0:
		return old
	case 1:
		return r.size
	default:
		return old + rng.Int64N(r.size-old+1)
	}
}

// tearMeta writes some sectors of the meta page or, on a disk that cannot even promise whole sectors, its first bytes.
func (r recording) tearMeta(img []byte, rng *rand.Rand) {
	if rng.IntN(2) == 0 {
		apply(img, r.meta, anyShare(rng), rng)
		return
	}
	w := r.meta[0]
	n := rng.IntN(len(w.data) + 1)
	if rng.IntN(2) == 0 {
		n = rng.IntN(128) // all that is in use lies here
	}
	copy(img[w.off:], w.data[:n])
}

// anyShare draws how much of what was not synced the disk has: nothing, everything, or anything in between.
func anyShare(rng *rand.Rand) float64 {
	switch rng.IntN(6) {
	case 0:
		return 0
	case 1:
		return 1
	case 2:
		return 0.05
	case 3:
		return 0.95
	}
	return rng.Float64()
}

// apply writes each sector with the given chance.
func apply(img []byte, writes []diskWrite, share float64, rng *rand.Rand) {
	for _, w := range writes {
		for at := 0; at < len(w.data); at += sectorSize {
			if rng.Float64() < share {
				end := min(at+sectorSize, len(w.data))
				copy(img[w.off+int64(at):], w.data[at:end])
			}
		}
	}
}

// crashRun is a state that commits and crashes by turns.
type crashRun struct {
	seed     uint64
	rng      *rand.Rand // not used where bbolt's layout decides how often
	skipSync bool
	fs       *memfs.FS // of the live state
	spare    *memfs.FS // of the images
	db       *DB
	model    map[string]string // as committed, by "bucket/key"
	seq      int
	images   [cuts]int
	last     []byte // the newest image
	newState int    // images that a crash before the end of Commit left in the new state
}

// The buckets that change, and the sizes of values that make pages overflow now and then.
var crashBuckets = [][]byte{Key, Meta, Alarm}

func dbPath(fs *memfs.FS) string { return fs.MapPath(dir + "/0000000000000001/" + dbName) }

// syncing opens the state that crashes: bbolt takes the very steps that it takes in production.
func syncing() Options { return Options{MapBytes: 1 << 20} }

func (r *crashRun) batch() (*Batch, map[string]string) {
	b, after := new(Batch), maps.Clone(r.model)
	for range 1 + r.rng.IntN(20) {
		bucket := crashBuckets[r.rng.IntN(3)*r.rng.IntN(2)]
		key := fmt.Sprintf("%05d", r.rng.IntN(200))
		if r.rng.IntN(4) > 0 && bytes.Equal(bucket, Key) {
			r.seq++
			key = fmt.Sprintf("%05d", 1000+r.seq) // like revisions, at the end
		}
		if r.rng.IntN(3) == 0 {
			if r.seq > 0 && r.rng.IntN(2) == 0 {
				key = fmt.Sprintf("%05d", 1000+r.rng.IntN(r.seq))
			}
			b.Delete(bucket, []byte(key))
			delete(after, string(bucket)+"/"+key)
			continue
		}
		n := r.rng.IntN(300)
		if r.rng.IntN(25) == 0 {
			n = r.rng.IntN(15_000)
		}
		value := strings.Repeat(string(rune('a'+r.rng.IntN(26))), n)
		b.Put(bucket, []byte(key), []byte(value))
		after[string(bucket)+"/"+key] = value
	}
	return b, after
}

// step makes one commit and opens images of it. Now and then the run goes on from one of them.
func (r *crashRun) step(images int) error {
	b, after := r.batch()
	rec, err := record(r.db, dbPath(r.fs), b)
	if err != nil {
		return err
	}
	before := r.model
	r.model = after
	var img []byte
	for range images {
		c := cut(r.rng.IntN(int(cuts)))
		if c == cutGrow && rec.size == int64(len(rec.before)) || c == cutDone && r.rng.IntN(4) > 0 {
			c = cutPages
		}
		r.images[c]++
		img = rec.image(c, r.skipSync, rand.New(rand.NewPCG(r.seed, uint64(sum(r.images)))))
		r.last = img
		isNew, err := r.check(img, c, before, after)
		if err != nil {
			return fmt.Errorf("image %d (%s): %w", sum(r.images), c, err)
		}
		r.model = before
		if isNew {
			r.model = after
		}
	}
	if r.rng.IntN(3) > 0 {
		r.model = after
		return nil
	}
	if err := r.db.Close(); err != nil {
		return err
	}
	if err := os.WriteFile(dbPath(r.fs), img, 0o600); err != nil {
		return err
	}
	r.db, err = Open(r.fs, dir, syncing())
	return err
}

func sum(counts [cuts]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// check opens an image and reads all of it. Some images are written to, which shows that the free pages were found.
func (r *crashRun) check(img []byte, c cut, before, after map[string]string) (isNew bool, err error) {
	if err := os.WriteFile(dbPath(r.spare), img, 0o600); err != nil {
		return false, err
	}
	d, err := Open(r.spare, dir, options())
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	err = sameContent(d, before)
	if err == nil && c == cutDone && !maps.Equal(before, after) {
		return false, errors.New("an acknowledged commit is lost")
	}
	if err != nil {
		if c < cutMeta && !r.skipSync {
			return false, fmt.Errorf("not the state before, and no meta page was written: %w", err)
		}
		isNew = true
		if again := sameContent(d, after); again != nil {
			return false, fmt.Errorf("neither the state before (%w) nor the one after (%w)", err, again)
		}
	}
	if isNew && c != cutDone {
		r.newState++
	}
	if err := checkPages(d); err != nil || r.rng.IntN(4) > 0 {
		return isNew, err
	}
	state := before
	if isNew {
		state = after
	}
	live := r.model
	r.model = state
	b, next := r.batch()
	r.model = live
	if err := d.Commit(b); err != nil {
		return isNew, fmt.Errorf("commit after the crash: %w", err)
	}
	if err := sameContent(d, next); err != nil {
		return isNew, fmt.Errorf("commit after the crash: %w", err)
	}
	return isNew, checkPages(d)
}

// keep writes the newest image to a file for whoever looks into a failure, and returns its name.
func (r *crashRun) keep() string {
	f, err := os.CreateTemp("", "bbolt-crash-image-")
	if err != nil {
		return err.Error()
	}
	_, err = f.Write(r.last)
	if err = errors.Join(err, f.Close()); err != nil {
		return err.Error()
	}
	return f.Name()
}

// checkPages is bbolt's own full check: every page is reachable once or free, all keys are in order.
func checkPages(d *DB) error {
	return d.Read(func(tx *bbolt.Tx) error {
		var all []error
		for err := range tx.Check() {
			all = append(all, err)
		}
		return errors.Join(all...)
	})
}

func sameContent(d *DB, want map[string]string) error {
	return d.Read(func(tx *bbolt.Tx) error {
		n := 0
		for _, name := range buckets {
			err := tx.Bucket(name).ForEach(func(k, v []byte) error {
				n++
				if w, ok := want[string(name)+"/"+string(k)]; !ok || w != string(v) {
					return fmt.Errorf("%s/%s has %d bytes of %.8q, want %d of %.8q", name, k, len(v), v, len(w), w)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if n != len(want) {
			return fmt.Errorf("%d keys, want %d", n, len(want))
		}
		return nil
	})
}

func crashSeed(t *testing.T, seed uint64, skipSync bool) (*crashRun, error) {
	r := &crashRun{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), skipSync: skipSync,
		fs: newFS(t), spare: newFS(t), model: map[string]string{},
	}
	mustClose(t, mustCreate(t, r.spare, nil))
	d, err := Create(r.fs, dir, syncing(), nil)
	if err != nil {
		return r, err
	}
	r.db = d
	defer func() { r.db.Close() }()
	for i := range 25 {
		if err := r.step(10); err != nil {
			return r, fmt.Errorf("commit %d: %w", i, err)
		}
	}
	return r, nil
}

// TestCrashImages cuts the power in the middle of commits, thousands of times. Every image must open, pass bbolt's
// check, and hold the state before the commit or the one after it; the latter once Commit has returned.
func TestCrashImages(t *testing.T) {
	const least = 4000
	var images [cuts]int
	newState := 0
	seeds := make([]uint64, 20)
	for i := range seeds {
		seeds[i] = uint64(i) + 1
	}
	one, repeat := os.LookupEnv("QUORUMKV_SEED")
	if repeat {
		seed, err := strconv.ParseUint(one, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		r, err := crashSeed(t, seed, false)
		if err != nil {
			// bbolt lays its pages out in the order of a map: a seed repeats the history, not every image.
			t.Fatalf("seed %d: %v\nthe image: %s\nrepeat with: QUORUMKV_SEED=%d go test ./storage/backend -count=20 "+
				"-run '^TestCrashImages$'", seed, err, r.keep(), seed)
		}
		for c := range cuts {
			images[c] += r.images[c]
		}
		newState += r.newState
	}
	for c := range cuts {
		t.Logf("%5d crash images of a commit cut while %s", images[c], c)
		if !repeat && images[c] < 100 {
			t.Errorf("only %d images of a commit cut while %s", images[c], c)
		}
	}
	t.Logf("%d crash images; %d had the new state before Commit returned", sum(images), newState)
	if !repeat && (sum(images) < least || newState < 100 || newState > images[cutMeta]-100) {
		t.Errorf("want %d images, and both outcomes of a cut before the last sync", least)
	}
}

// TestCrashImagesFindAMissingSync leaves out the sync between pages and meta page, and expects images that break. Those
// may kill the process (bbolt looks for free pages in a goroutine of its own), so another one opens them.
func TestCrashImagesFindAMissingSync(t *testing.T) {
	const child, verdict = "QUORUMKV_TEST_SKIP_SYNC", "broken image: "
	if os.Getenv(child) != "" {
		for seed := range uint64(20) {
			if _, err := crashSeed(t, seed, true); err != nil {
				t.Fatalf("%s%v", verdict, err)
			}
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("no image broke without the sync between pages and meta page: %v\n%s", err, out)
	}
	found := bytes.Contains(out, []byte(verdict)) || bytes.Contains(out, []byte("bbolt"))
	if !found {
		t.Fatalf("the process ended for another reason: %v\n%s", err, out)
	}
	first, _, _ := strings.Cut(string(out), "\n\n")
	t.Logf("as expected: %.300s", first)
}

package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// Get is Fetch of the model that ref names, if that is one of the Hub.
func Get(ctx context.Context, ref string, weights bool, w io.Writer) error {
	id, ok := Of("", ref)
	if !ok {
		return nil
	}
	return Fetch(ctx, id, weights, w)
}

// Fetch brings the files of a model to the cache that are not there: its
// configuration, its tokenizer, and, if asked, its weights. Without an answer from the
// Hub, or where HF_HUB_OFFLINE forbids to ask it, the cache has to do. w is told of
// that, and how far it is.
func Fetch(ctx context.Context, id ID, weights bool, w io.Writer) error {
	dir, err := folderOf(id)
	if err != nil {
		return err
	}
	f := &fetch{client: newClient(id, w), folder: dir, weights: weights, none: map[string]bool{}}
	if id.fixed() {
		if missing, err := f.missing(id.Revision); err != nil || len(missing) == 0 {
			return err
		}
	}
	_, notFound := Find(id, weights)
	if offline() {
		if notFound != nil {
			return refused("model %w, and HF_HUB_OFFLINE forbids to fetch it", notFound)
		}
		return nil
	}
	config, err := f.look(ctx, notFound == nil)
	var none *absent
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &none):
		return refused("%s on the Hub has no %s: it is no model in the format of transformers; a .gguf file of it is fetched by: hf download %s FILE", id, configFile, id.repo())
	case err != nil && notFound == nil:
		fmt.Fprintf(w, "warning: model %s: %v; what the cache has of it is used, commit %s\n", id, err, dir.commit(id))
		return nil
	case err != nil:
		return fmt.Errorf("model %s: no such folder, and from the Hub: %w", id, err)
	}
	if err := f.all(ctx, config.commit); err != nil {
		return fmt.Errorf("model %s: %w", id, err)
	}
	return dir.setCommit(id, config.commit)
}

// fetch is the work of Fetch.
type fetch struct {
	*client
	folder
	weights bool
	none    map[string]bool // files that do not exist, where the cache cannot be written
	told    bool            // that something is fetched
}

// look asks for the commit of the revision. haste: there is something without it.
func (f *fetch) look(ctx context.Context, haste bool) (remote, error) {
	if !haste {
		return f.stat(ctx, f.id.Revision, configFile)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, hasty, fmt.Errorf("%s does not answer", f.base))
	defer cancel()
	f.attempts = 1
	defer func() { f.attempts = attempts }()
	r, err := f.stat(ctx, f.id.Revision, configFile)
	return r, because(ctx, err)
}

// all fetches what is missing of a commit. Which files the weights are in is known
// once the index is.
func (f *fetch) all(ctx context.Context, commit string) error {
	for {
		missing, err := f.missing(commit)
		if err != nil || len(missing) == 0 {
			return err
		}
		var files []file
		var total int64
		for _, name := range missing {
			r, err := f.stat(ctx, commit, name)
			var none *absent
			switch {
			case errors.As(err, &none):
				f.setLacks(commit, name)
				continue
			case err != nil:
				return fmt.Errorf("%s: %w", name, err)
			case r.commit != commit:
				return fmt.Errorf("%s: the Hub gives commit %s in the place of %s", name, r.commit, commit)
			case !blobName.MatchString(r.etag):
				return fmt.Errorf("%s: the Hub's ETag %q is no name of a file", name, r.etag)
			}
			files = append(files, file{name, r})
			total += max(r.size, 0)
		}
		if err := f.files(ctx, files, total); err != nil {
			return err
		}
	}
}

// missing are the files that are neither in the cache nor known not to exist.
func (f *fetch) missing(commit string) (missing []string, err error) {
	unknown := func(name string) bool { return !f.has(commit, name) && !f.lacks(commit, name) }
	for _, name := range sideFiles {
		if unknown(name) {
			missing = append(missing, name)
		}
	}
	switch {
	case !f.weights || f.has(commit, WeightsFile):
	case unknown(WeightsFile):
		missing = append(missing, WeightsFile)
	case unknown(IndexFile):
		missing = append(missing, IndexFile)
	case f.lacks(commit, IndexFile):
		return nil, refused("neither %s nor %s is on the Hub: there are no weights as safetensors, the only format of its folders that is read", WeightsFile, IndexFile)
	default:
		shards, err := f.shards(commit)
		if err != nil {
			return nil, err
		}
		for _, name := range shards {
			if f.lacks(commit, name) {
				return nil, refused("%s names %s, which is not on the Hub", IndexFile, name)
			}
			if !f.has(commit, name) {
				missing = append(missing, name)
			}
		}
	}
	return missing, nil
}

// lacks is the folder's, or what it could not write down.
func (f *fetch) lacks(commit, name string) bool { return f.none[name] || f.folder.lacks(commit, name) }

func (f *fetch) setLacks(commit, name string) {
	at := filepath.Join(string(f.folder), ".no_exist", commit, name)
	err := os.MkdirAll(filepath.Dir(at), 0o777)
	if err == nil {
		err = os.WriteFile(at, nil, 0o666)
	}
	if err != nil { // a cache for reading
		f.none[name] = true
	}
}

// blobName is what an ETag may be that a file is named after.
var blobName = regexp.MustCompile(`^[A-Za-z0-9_][\w.-]*$`)

type file struct {
	name string
	remote
}

func (f *fetch) files(ctx context.Context, files []file, total int64) error {
	if len(files) == 0 {
		return nil
	}
	if !f.told {
		fmt.Fprintf(f.w, "fetching %s, commit %s, from %s into %s\n", f.id.repo(), files[0].commit, f.base, f.folder)
		f.told = true
	}
	p := cli.NewProgress(f.w, "fetch", "bytes", total, 0)
	for _, x := range files {
		if err := f.one(ctx, x, p); err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
	}
	p.Done()
	return nil
}

// one fetches a file, unless another process has done so meanwhile. The lock spares
// fetching it twice, no more: temporary names are nobody else's.
func (f *fetch) one(ctx context.Context, x file, p *cli.Progress) error {
	blob := filepath.Join(string(f.folder), "blobs", x.etag)
	link := filepath.Join(f.snapshot(x.commit), x.name)
	locks := filepath.Join(filepath.Dir(string(f.folder)), ".locks", filepath.Base(string(f.folder)))
	for _, dir := range []string{filepath.Dir(blob), filepath.Dir(link), locks} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	unlock, err := lock(ctx, filepath.Join(locks, x.etag+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(blob); errors.Is(err, fs.ErrNotExist) {
		if err := f.download(ctx, blob, x, p); err != nil {
			return err
		}
	} else {
		p.Add(x.size, x.name)
	}
	target, err := filepath.Rel(filepath.Dir(link), blob)
	if err == nil {
		err = os.Symlink(target, link)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return os.Rename(blob, link) // no links here: as Python's library does
	}
	return nil
}

// download writes a file's bytes under a temporary name, and gives it its own once
// they are what the Hub said.
func (f *fetch) download(ctx context.Context, blob string, x file, p *cli.Progress) (err error) {
	temp := fmt.Sprintf("%s.%08x.incomplete", blob, rand.Uint32())
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		out.Close()
		if err != nil {
			os.Remove(temp)
		}
	}()
	d := newDigest(x.remote)
	var n int64
	w := writer(func(b []byte) (int, error) {
		d.Write(b)
		n += int64(len(b))
		p.Add(int64(len(b)), x.name)
		return out.Write(b)
	})
	if err := f.get(ctx, x.name, x.remote, w); err != nil {
		return err
	}
	if x.size >= 0 && n != x.size {
		return fmt.Errorf("%d bytes came, the Hub said %d", n, x.size)
	}
	if err := d.check(); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return os.Rename(temp, blob)
}

// digest compares bytes with an ETag that is a hash of them: SHA-256 of a large file on
// the Hub, git's of a small one, SHA-1 on some mirrors. Other ETags say nothing.
type digest struct {
	etag string
	sums []hash.Hash
	io.Writer
}

func newDigest(r remote) *digest {
	d := &digest{etag: r.etag}
	switch {
	case !hexDigits.MatchString(r.etag):
	case len(r.etag) == 2*sha256.Size:
		d.sums = []hash.Hash{sha256.New()}
	case len(r.etag) == 2*sha1.Size:
		d.sums = []hash.Hash{sha1.New(), sha1.New()}
		fmt.Fprintf(d.sums[0], "blob %d\x00", r.size)
	}
	var all []io.Writer
	for _, h := range d.sums {
		all = append(all, h)
	}
	d.Writer = io.MultiWriter(all...)
	return d
}

var hexDigits = regexp.MustCompile(`^[0-9a-f]+$`)

func (d *digest) check() error {
	for _, h := range d.sums {
		if hex.EncodeToString(h.Sum(nil)) == d.etag {
			return nil
		}
	}
	if len(d.sums) == 0 {
		return nil
	}
	return fmt.Errorf("the bytes that came have hash %x, the Hub said %s; run the command again", d.sums[0].Sum(nil), d.etag)
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// lock waits for a lock that Python's library takes too. Where a file system has none
// it does without.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	for store.Flock(f, syscall.LOCK_EX) == syscall.EWOULDBLOCK {
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return func() { f.Close() }, nil
}

// setCommit writes down which commit a revision is. A cache that cannot be written will
// do if it says so already.
func (f folder) setCommit(id ID, commit string) error {
	if f.commit(id) == commit {
		return nil
	}
	at := f.ref(id.Revision)
	if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
		return err
	}
	return store.WriteFile(at, []byte(commit))
}

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"eaft/internal/cli"
)

// memory puts a bucket in memory behind a URL.
func memory(t *testing.T) (*blob.Bucket, string) {
	b := memblob.OpenBucket(nil)
	url := "s3://" + strings.ToLower(t.Name())
	buckets.Lock()
	if buckets.open == nil {
		buckets.open = map[string]*blob.Bucket{}
	}
	buckets.open[url] = b
	buckets.Unlock()
	t.Cleanup(func() { b.Close() })
	return b, url
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Join("a", "b/c"), filepath.Join("a", "b", "c")},
		{Join("s3://b", "x"), "s3://b/x"},
		{Join("s3://b/p/?region=r", "x/../y"), "s3://b/p/y?region=r"},
		{Join("s3://b/p", "../../../x"), "s3://b/x"},
		{Join("file:///tmp/a%20b", "x"), "/tmp/a b/x"},
		{Base("s3://b/p/x.parquet?region=r"), "x.parquet"},
		{Dir("s3://b/p/x.parquet?region=r"), "s3://b/p?region=r"},
		{Resolve("s3://b/scores?region=r", "../tok"), "s3://b/tok?region=r"},
		{Resolve("scores", "gs://b/tok"), "gs://b/tok"},
	} {
		if c.got != c.want {
			t.Errorf("%q where %q is right", c.got, c.want)
		}
	}
	for _, c := range []struct{ from, to, want string }{
		{"a/scores", "a/tok", "../tok"},
		{"s3://b/x/scores?region=r", "s3://b/tok?region=r", "../../tok"},
		{"s3://b/scores", "s3://other/tok?region=r", "s3://other/tok"},
		{"scores", "gs://b/tok?anonymous=true", "gs://b/tok"},
		{"s3://b/scores", "tok", ""},
	} {
		if got, err := Rel(c.from, c.to); got != c.want || err != nil {
			t.Errorf("Rel(%q, %q) = %q, %v; want %q", c.from, c.to, got, err, c.want)
		}
	}
	if !Same("s3://b/x/", "s3://b/x") || Same("s3://b/x", "s3://b/y") || !Same("file:///a/b", "/a/b/") {
		t.Error("Same errs")
	}
}

func TestSecretsInURLsAreRefusedUnspoken(t *testing.T) {
	for _, url := range []string{
		"s3://key:hushhush@bucket/x", "s3://bucket/x?secret=hushhush", "s3://bucket/x?endpoint=http://u:hushhush@h",
		"azblob://c/x?sig=hushhush", "s3:///hush",
	} {
		_, err := Open(url)
		if cli.Code(err) != cli.ExitUsage || strings.Contains(err.Error(), "hushhush") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestObjects(t *testing.T) {
	b, url := memory(t)
	if _, err := Open(Join(url, "x")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), Join(url, "x")) {
		t.Fatal(err)
	}
	data := make([]byte, 3*blockSize+12345)
	for i := range data {
		data[i] = byte(i * 2654435761 >> 16)
	}
	w, err := Create(Join(url, "dir/x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if ok, _ := b.Exists(context.Background(), "dir/x"); ok {
		t.Fatal("the object is there before Commit")
	}
	spool := w.f.Name()
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(spool); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Commit left its temporary file")
	}
	f, err := Open(Join(url, "dir/x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if all, err := io.ReadAll(f); err != nil || !bytes.Equal(all, data) {
		t.Fatalf("Read: %d bytes, %v", len(all), err)
	}
	for _, at := range [][2]int{{0, 10}, {blockSize - 5, 10}, {blockSize, blockSize + 7}, {17, 3 * blockSize}, {len(data) - 3, 3}, {0, len(data)}} {
		p := make([]byte, at[1])
		if n, err := f.ReadAt(p, int64(at[0])); n != len(p) || err != nil || !bytes.Equal(p, data[at[0]:at[0]+at[1]]) {
			t.Errorf("ReadAt %v: %d, %v", at, n, err)
		}
	}
	if n, err := f.ReadAt(make([]byte, 9), int64(len(data)-3)); n != 3 || err != io.EOF {
		t.Errorf("past the end: %d, %v", n, err)
	}
	st, err := Stat(Join(url, "dir"))
	if err != nil || !st.Dir {
		t.Errorf("a prefix: %+v, %v", st, err)
	}
	if err := WriteFile(Join(url, "dir/sub/y"), nil); err != nil {
		t.Fatal(err)
	}
	entries, err := ReadDir(url + "/dir/")
	if err != nil || len(entries) != 2 || entries[0] != (Entry{"sub", true}) || entries[1] != (Entry{"x", false}) {
		t.Errorf("ReadDir: %v, %v", entries, err)
	}
	found, err := Glob(url + "/d*/*")
	if err != nil || len(found) != 1 || found[0] != url+"/dir/x" {
		t.Errorf("Glob: %v, %v", found, err)
	}
	if err := RemoveAll(Join(url, "dir")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadDir(Join(url, "dir")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("RemoveAll left something")
	}
}

// Files of a folder are those that its links lead to, too, as in Hugging Face's cache,
// whatever name the folder has.
func TestWalkLinks(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "real", "sub"), 0o777), os.WriteFile(filepath.Join(dir, "real", "sub", "a"), []byte("abc"), 0o666),
		os.WriteFile(filepath.Join(dir, "blob"), []byte("blob"), 0o666), os.Mkdir(filepath.Join(dir, "other"), 0o777), os.WriteFile(filepath.Join(dir, "other", "x"), nil, 0o666),
		os.Symlink(filepath.Join("..", "blob"), filepath.Join(dir, "real", "b")), os.Symlink("nothing", filepath.Join(dir, "real", "c")),
		os.Symlink(filepath.Join("..", "other"), filepath.Join(dir, "real", "d")), os.Symlink("real", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"real", "link"} {
		got := map[string]int64{}
		if err := Walk(filepath.Join(dir, name), func(name string, size int64) { got[name] = size }); err != nil || !maps.Equal(got, map[string]int64{"sub/a": 3, "b": 4}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if err := Walk(filepath.Join(dir, "no"), func(string, int64) {}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// A reader must not mix what two writers wrote.
func TestChangedObject(t *testing.T) {
	_, url := memory(t)
	name := Join(url, "x")
	if err := WriteFile(name, []byte("one")); err != nil {
		t.Fatal(err)
	}
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(name, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(make([]byte, 3), 0); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("ReadAt: %v", err)
	}
	if _, err := io.ReadAll(f); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("Read: %v", err)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	b, url := memory(t)
	w, err := Create(Join(url, "x"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("half"))
	w.Abort()
	if ok, _ := b.Exists(context.Background(), "x"); ok {
		t.Error("Abort made an object")
	}
	if _, err := os.Stat(w.f.Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Abort left its temporary file")
	}
}

// A stamp differs whenever the content may, also where size and time of the last
// write are made to look the same.
func TestStamp(t *testing.T) {
	_, url := memory(t)
	stamp := func(name string) string {
		t.Helper()
		s, err := Stamp(name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	write := func(name, data string) {
		t.Helper()
		if err := WriteFile(name, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	object := Join(url, "x")
	write(object, "one")
	a := stamp(object)
	if b := stamp(object); a != b || a == "" {
		t.Errorf("an object's stamp is %q, then %q", a, b)
	}
	write(object, "two")
	if b := stamp(object); a == b {
		t.Errorf("another object has the stamp %q", b)
	}
	file := filepath.Join(t.TempDir(), "x")
	write(file, "one")
	if s := stamp(file); s != "" {
		t.Errorf("a file that was written just now has the stamp %q", s)
	}
	if _, _, ok := identity(must(os.Stat(file))); !ok {
		t.Skip("files have no stamps here")
	}
	time.Sleep(settled + 100*time.Millisecond)
	if a = stamp(file); a == "" || a != stamp(file) {
		t.Errorf("of a file that stands still: %q", a)
	}
	was := must(os.Stat(file))
	f := must(os.OpenFile(file, os.O_WRONLY, 0))
	f.WriteString("two")
	f.Close()
	if err := os.Chtimes(file, was.ModTime(), was.ModTime()); err != nil {
		t.Fatal(err)
	}
	if b := stamp(file); b == a {
		t.Error("a file that was changed, and its time set back, has the same stamp")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestCleanTempsLeavesWriters: what a killed run left is removed, and not what a live
// writer, of this process or another, is at: such as a worker's shard, beside which a
// run of all shards begins.
func TestCleanTempsLeavesWriters(t *testing.T) {
	dir := t.TempDir()
	live, err := Create(filepath.Join(dir, "live"))
	if err != nil {
		t.Fatal(err)
	}
	dead, err := Create(filepath.Join(dir, "dead"))
	if err != nil {
		t.Fatal(err)
	}
	dead.f.Close() // as the end of its process does
	if err := CleanTemps(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead.f.Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of a dead writer: %v", err)
	}
	if _, err := live.Write([]byte("whole")); err != nil {
		t.Fatal(err)
	}
	if err := live.Commit(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "live")); err != nil || string(data) != "whole" {
		t.Errorf("the file of a live writer: %q, %v", data, err)
	}
}

// TestCleanTempsBesideWriters: whenever temporary files are removed, no writer loses its.
func TestCleanTempsBesideWriters(t *testing.T) {
	dir := t.TempDir()
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
			}
			if err := CleanTemps(dir); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for i := range 300 {
		if err := WriteFile(filepath.Join(dir, fmt.Sprint(i%7)), []byte(fmt.Sprint(i))); err != nil {
			t.Errorf("write %d: %v", i, err)
			break
		}
	}
	close(end)
	<-ended
}

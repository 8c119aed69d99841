// Package hub gets models from the Hugging Face Hub, or a mirror of it, into the
// cache that Python's huggingface_hub shares: what one has fetched the other finds.
//
// A model's files lie in models--OWNER--NAME of the cache: refs/REVISION holds the
// commit of a branch or tag, snapshots/COMMIT/FILE are links into blobs, and
// .no_exist/COMMIT/FILE says that the commit has no such file
// (huggingface_hub/file_download.py, hf_hub_download).
package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// ID names a model on the Hub.
type ID struct {
	Owner, Name string
	Revision    string // a branch, a tag or a commit
}

var (
	idSyntax   = regexp.MustCompile(`^([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?:@([A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)*))?$`)
	commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// Parse reads OWNER/NAME or OWNER/NAME@REVISION; without one the revision is main.
// What ends like a GGUF file is none.
func Parse(s string) (id ID, ok bool) {
	m := idSyntax.FindStringSubmatch(s)
	if m == nil || strings.EqualFold(path.Ext(s), ".gguf") || strings.Contains(s, "..") {
		return ID{}, false
	}
	if m[3] == "" {
		m[3] = "main"
	}
	return ID{m[1], m[2], m[3]}, true
}

// Of is the model of the Hub that ref means, seen from the folder dir, "" for the one
// that the program works in. Is something of that name, or of its owner's, in the file
// system, then a path is meant.
func Of(dir, ref string) (id ID, ok bool) {
	if id, ok = Parse(ref); !ok {
		return ID{}, false
	}
	for _, p := range []string{ref, id.Owner} {
		if _, err := os.Lstat(filepath.Join(dir, p)); !errors.Is(err, fs.ErrNotExist) {
			return ID{}, false
		}
	}
	return id, true
}

// String is the ID as Parse reads it.
func (id ID) String() string {
	if id.Revision == "main" {
		return id.repo()
	}
	return id.repo() + "@" + id.Revision
}

func (id ID) repo() string { return id.Owner + "/" + id.Name }

// fixed: no request is needed to know its commit.
func (id ID) fixed() bool { return commitHash.MatchString(id.Revision) }

// Files of a model that are fetched where they exist: what is read to tokenize, and
// what goes with a model that is written.
var sideFiles = []string{
	configFile, "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "additional_chat_templates/tool_use.jinja", "special_tokens_map.json",
	"added_tokens.json", "generation_config.json", "vocab.json", "merges.txt", "tokenizer.model",
}

const configFile = "config.json"

// home is the folder of Hugging Face's own files.
func home() (string, error) {
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return expand(dir), nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(expand(dir), "huggingface"), nil
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("the folder of the Hub's cache is unknown: %w; set HF_HUB_CACHE", err)
	}
	return filepath.Join(dir, ".cache", "huggingface"), nil
}

// expand replaces ~ and variables, as Python's library does.
func expand(dir string) string {
	if rest, ok := strings.CutPrefix(dir, "~/"); ok {
		if h, err := os.UserHomeDir(); err == nil {
			dir = filepath.Join(h, rest)
		}
	}
	return os.ExpandEnv(dir)
}

// CacheDir is the folder of the Hub's cache: HF_HUB_CACHE, or hub in HF_HOME, in
// XDG_CACHE_HOME/huggingface or in ~/.cache/huggingface.
func CacheDir() (string, error) {
	for _, name := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if dir := os.Getenv(name); dir != "" {
			return expand(dir), nil
		}
	}
	dir, err := home()
	return filepath.Join(dir, "hub"), err
}

// folder is a model's in the cache.
type folder string

func folderOf(id ID) (folder, error) {
	dir, err := CacheDir()
	return folder(filepath.Join(dir, "models--"+id.Owner+"--"+id.Name)), err
}

func (f folder) ref(revision string) string {
	return filepath.Join(string(f), "refs", filepath.FromSlash(revision))
}

func (f folder) snapshot(commit string) string { return filepath.Join(string(f), "snapshots", commit) }

// commit is that of a revision as it was last looked up, "" if it never was.
func (f folder) commit(id ID) string {
	if id.fixed() {
		return id.Revision
	}
	data, err := os.ReadFile(f.ref(id.Revision))
	if c := strings.TrimSpace(string(data)); err == nil && commitHash.MatchString(c) {
		return c
	}
	return ""
}

// has reports whether a file of a commit is in the cache.
func (f folder) has(commit, name string) bool {
	_, err := os.Stat(filepath.Join(f.snapshot(commit), name))
	return err == nil
}

// lacks reports that a commit is known to have no such file.
func (f folder) lacks(commit, name string) bool {
	_, err := os.Stat(filepath.Join(string(f), ".no_exist", commit, name))
	return err == nil
}

// shards are the files that a commit's weights are in: one, or as many as its index
// names. ErrNotExist: what is in the cache does not tell.
func (f folder) shards(commit string) ([]string, error) {
	if f.has(commit, WeightsFile) {
		return []string{WeightsFile}, nil
	}
	at := filepath.Join(f.snapshot(commit), IndexFile)
	data, err := os.ReadFile(at)
	if err != nil {
		return nil, err
	}
	shards, _, err := ReadIndex(at, data)
	return shards, err
}

// Find is the folder of a model's files in the cache, as Fetch or another program left
// them there. It asks nobody. weights: they must be there too. An error wraps
// fs.ErrNotExist where the model is not in the cache, or not all of it.
func Find(id ID, weights bool) (dir string, err error) {
	f, err := folderOf(id)
	if err != nil {
		return "", err
	}
	commit := f.commit(id)
	if commit == "" || !f.has(commit, configFile) {
		return "", fmt.Errorf("%s is not in the Hub's cache (%s): %w", id, f, fs.ErrNotExist)
	}
	dir = f.snapshot(commit)
	if !weights {
		return dir, nil
	}
	shards, err := f.shards(commit)
	if err != nil {
		return "", fmt.Errorf("the weights of %s are not in the Hub's cache: %w", id, err)
	}
	for _, name := range shards {
		if !f.has(commit, name) {
			return "", fmt.Errorf("%s of %s is not in the Hub's cache (%s): %w", name, id, dir, fs.ErrNotExist)
		}
	}
	return dir, nil
}

// Pinned is id with the commit that the cache has of its revision: it stays what it is
// when a branch moves on.
func Pinned(id ID) ID {
	if f, err := folderOf(id); err == nil {
		if commit := f.commit(id); commit != "" {
			id.Revision = commit
		}
	}
	return id
}

package parquet

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"eaft/internal/store"
)

// Dataset is a folder of shards.
type Dataset struct {
	Dir      string
	Manifest *Manifest // nil if foreign
	Shards   []string  // full paths, in order
	Foreign  bool      // Parquet files without our manifest
}

// OpenDataset opens the dataset in dir, which must have the given schema. With
// a manifest, every shard it names must exist with its size (Verify checks the
// hashes). Without one, a folder of Parquet files that other programs wrote is a
// tokens dataset in the order of names; shards of ours without a manifest are those
// of a run that has not ended, or were copied without it.
func OpenDataset(dir, schema string) (*Dataset, error) {
	m, err := ReadManifest(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return openForeign(dir, schema)
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%s is a file: %s", dir, needed(schema))
	}
	if err != nil {
		return nil, err
	}
	if m.Schema != schema {
		return nil, fmt.Errorf("%s: schema is %q where %q is needed: %s", store.Join(dir, ManifestName), m.Schema, schema, needed(schema))
	}
	d := &Dataset{Dir: dir, Manifest: m}
	sizes, err := store.Sizes(dir)
	if err != nil {
		return nil, err
	}
	for _, s := range m.Shards {
		path := store.Join(dir, s.Name)
		size, ok := sizes[s.Name]
		if !ok {
			remedy := "remove " + ManifestName + " there and run its stage again, which makes what is missing"
			if m.Schema == SchemaAudit {
				remedy = d.mending(path)
			}
			return nil, fmt.Errorf("%s: the shard is in the manifest but not in the folder; %s", path, remedy)
		}
		if size != s.Bytes {
			return nil, fmt.Errorf("%s: %d bytes where the manifest says %d; %s", path, size, s.Bytes, d.mending(path))
		}
		d.Shards = append(d.Shards, path)
	}
	return d, nil
}

// needed says where a dataset of a schema comes from.
func needed(schema string) string {
	by := map[string]string{SchemaTokens: "tokenize", SchemaScores: "scorer score", SchemaAudit: "train"}[schema]
	return fmt.Sprintf("give the folder of a %s dataset, which %s writes", schema, by)
}

func openForeign(dir, schema string) (*Dataset, error) {
	entries, err := store.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", err, needed(schema))
	}
	if err != nil {
		return nil, err
	}
	d := &Dataset{Dir: dir, Foreign: true}
	for _, e := range entries {
		if e.Dir && e.Name == PartialName {
			return nil, fmt.Errorf("%s: the dataset is unfinished: %s has what is made of its shards; run the stage again", dir, PartialName)
		}
		if strings.HasPrefix(e.Name, ".") || !strings.HasSuffix(e.Name, ".parquet") || e.Dir {
			continue
		}
		path := store.Join(dir, e.Name)
		meta, err := ReadMeta(path)
		if err != nil {
			return nil, err
		}
		if meta.Schema != "" {
			return nil, fmt.Errorf("%s: the dataset is unfinished: it has shards of %s but no %s; run the stage again, or copy %[3]s too if they are a copy", dir, meta.Schema, ManifestName)
		}
		d.Shards = append(d.Shards, path)
	}
	if len(d.Shards) == 0 {
		return nil, fmt.Errorf("%s: no dataset here: neither %s nor *.parquet files; %s", dir, ManifestName, needed(schema))
	}
	if schema != SchemaTokens {
		return nil, fmt.Errorf("%s: these Parquet files are no dataset of schema %s, which has a %s and is taken only as it was written; %s", dir, schema, ManifestName, needed(schema))
	}
	return d, nil
}

// ShardRows is the number of rows of a shard, as its manifest says, or its footer
// where there is no manifest.
func (d *Dataset) ShardRows(i int) (int64, error) {
	if d.Manifest != nil {
		return d.Manifest.Shards[i].Rows, nil
	}
	f, err := openFile(d.Shards[i])
	if err != nil {
		return 0, err
	}
	return f.pq.NumRows(), f.close()
}

// ContentHash is the identity of the rows, as the manifest's; of a foreign
// dataset, without hashes of its own, the files are read.
func (d *Dataset) ContentHash() (string, error) {
	if d.Manifest != nil {
		return d.Manifest.ContentHash(), nil
	}
	m := &Manifest{}
	for _, path := range d.Shards {
		h, err := store.Hash(path)
		if err != nil {
			return "", err
		}
		m.Shards = append(m.Shards, ShardInfo{SHA256: h})
	}
	return m.ContentHash(), nil
}

// mending is what to do about a shard that is not as it was written: a stage that
// finds its manifest has nothing to do, and one that finds a shard keeps it.
func (d *Dataset) mending(path string) string {
	if d.Manifest.Schema == SchemaAudit { // made by the training itself, which is finished
		return "train again in another folder, or bring back the file from a copy"
	}
	again := "remove it and the " + ManifestName + " beside it, and run its stage again, which makes this shard again and keeps the others"
	if f, err := openFile(path); err == nil {
		by := f.pq.Metadata().CreatedBy
		f.close()
		if !strings.HasPrefix(by, writtenBy) && d.Manifest.Schema == SchemaTokens {
			return fmt.Sprintf("it was written again by %q: to use it as it is, write all shards again and remove %s, which makes them tokens of other origin; or %s", by, ManifestName, again)
		}
	}
	return again
}

// Verify reads every shard and compares its hash with the manifest's. Foreign
// datasets have nothing to compare with.
func (d *Dataset) Verify() error {
	if d.Manifest == nil {
		return nil
	}
	for i := range d.Shards {
		if err := d.VerifyShard(i); err != nil {
			return err
		}
	}
	return nil
}

// VerifyShard does what Verify does, for one shard.
func (d *Dataset) VerifyShard(i int) error {
	if d.Manifest == nil {
		return nil
	}
	path := d.Shards[i]
	got, err := store.Hash(path)
	if err != nil {
		return err
	}
	if want := d.Manifest.Shards[i].SHA256; got != want {
		return fmt.Errorf("%s: content has the hash %s where the manifest says %s; %s", path, got, want, d.mending(path))
	}
	return nil
}

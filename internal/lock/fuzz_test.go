package lock

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"eaft/internal/bound"
)

// FuzzClaims: whatever a file among the claims is called and holds, a shard is
// left to its holder or taken, and who took it has it and can show life.
func FuzzClaims(f *testing.F) {
	for _, name := range []string{"00000.claim.0", "00000.claim.7", "00000.claim.9223372036854775807", "00000.claim.1073741824", "00000.claim.-1", "0.claim.1", "00000.claim.1.old", "00001.claim.0", "claim", ".x.beat"} {
		for _, s := range []string{`{"host":"h","boot":"b","pid":1,"start":"1","nonce":"n","beat":3}`, `{"released":true}`, `{"pid":-1}`, `{"beat":9223372036854775807}`, `{"pid":1e99}`, `{`, ``, `null`, `[]`} {
			f.Add(name, []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		bound.Memory(t, len(name)+len(data))
		dir := t.TempDir()
		if filepath.Base(name) != name || os.WriteFile(filepath.Join(dir, name), data, 0o666) != nil {
			return
		}
		c, err := OpenClaims(dir, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Take([]int{0}, 1)
		if err != nil {
			t.Fatal(err)
		}
		who, beat, err := c.Holder(0)
		if err != nil {
			t.Fatal(err)
		}
		who.Name()
		if len(got) == 0 {
			return
		}
		if who != c.me.Owner || beat != 0 {
			t.Fatalf("%q: taken, and %v has it", name, who)
		}
		if lost, err := c.Beat(); err != nil || len(lost) > 0 {
			t.Fatalf("%q: taken, and lost %v (%v)", name, lost, err)
		}
		if err := c.Drop(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzOwner: whatever stands in a lock's file, it says who has it or not, and
// what a process says of itself is read again.
func FuzzOwner(f *testing.F) {
	for _, s := range []string{self().String(), "h b 1 2", "h b -1 -", "h b 99999999999999999999 1", " ", "\n", "h", "h b x y", "h\x00 b 1 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bound.Memory(t, len(s))
		path := filepath.Join(t.TempDir(), "lock")
		held, err := File(path, false)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		if err := os.WriteFile(path, []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
		o := Holder(path)
		if o == nil {
			t.Fatal("nobody has a lock that is held")
		}
		Taken("x", *o)
		o.Dead()
		if again := parseOwner(o.String()); o.PID != 0 && o.Start != "" && again != *o {
			t.Fatalf("%q is %+v, and %q is %+v", s, *o, o, again)
		}
	})
}

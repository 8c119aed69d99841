package tokenize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"eaft/internal/cli"
)

// record is one input record and where it stands.
type record struct {
	raw    []byte
	place  int64 // number of the record in all inputs
	source string
	row    int64
	key    string // the record's key in an object of records
	layout *layout
}

// job is a run of records of one segment, which a worker encodes as a whole.
type job struct {
	records []record
	arena   []byte // of the records' bytes
	results []result
	done    chan struct{} // closed when results or err are there
	err     error
}

// A job ends at so many records or bytes; so many jobs for each thread are
// under way at a time.
const (
	jobRecords = 64
	jobBytes   = 256 << 10
	jobsAhead  = 4
)

// jobs reads the inputs and encodes them on all threads. They come out in the
// order of the records, whatever the threads do; records of segments that skip
// says are there already are passed over. cancel ends it early.
func (r *run) jobs(ctx context.Context, ends []int64, skip []bool) (<-chan *job, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	work := make(chan *job)
	order := make(chan *job, jobsAhead*r.o.Threads)
	var wg sync.WaitGroup
	for range r.o.Threads {
		wg.Go(func() {
			for j := range work {
				for i := range j.records {
					j.results = append(j.results, r.process(j.records[i]))
				}
				j.arena = nil
				close(j.done)
			}
		})
	}
	go func() {
		defer close(order)
		defer close(work)
		err := r.produce(ends, skip, func(j *job) error {
			select {
			case order <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case work <- j:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil && ctx.Err() == nil {
			j := &job{err: err, done: make(chan struct{})}
			close(j.done)
			select {
			case order <- j:
			case <-ctx.Done():
			}
		}
	}()
	return order, func() {
		cancel()
		wg.Wait()
	}
}

// produce cuts the records into jobs, in their order.
func (r *run) produce(ends []int64, skip []bool, emit func(*job) error) error {
	segment, n := 0, int64(0)
	j := &job{}
	flush := func() error {
		if len(j.records) == 0 {
			return nil
		}
		j.done = make(chan struct{})
		full := j
		j = &job{}
		return emit(full)
	}
	add := func(source int, row int64, key, raw []byte) error {
		for n == ends[segment] {
			segment++
		}
		n++
		if skip[segment] {
			return nil
		}
		s := r.sources[source]
		rec := record{place: s.first + row, source: s.name, row: row, layout: s.layout}
		if len(key) > 0 {
			if err := json.Unmarshal(key, &rec.key); err != nil {
				return cli.Usagef("%s: record %d: its key %.80s: %w", s.path, row, key, err)
			}
		}
		lo := len(j.arena)
		j.arena = append(j.arena, raw...)
		rec.raw = j.arena[lo:]
		j.records = append(j.records, rec)
		if len(j.records) == jobRecords || len(j.arena) >= jobBytes || n == ends[segment] {
			return flush()
		}
		return nil
	}
	if r.o.Shuffle == nil {
		return r.eachRecord(add)
	}
	s, err := newShuffler(*r.o.Shuffle, r.o.Out)
	if err != nil {
		return err
	}
	defer s.close()
	err = r.eachRecord(func(source int, row int64, key, raw []byte) error {
		return s.add(uint64(r.sources[source].first+row), source, row, key, raw)
	})
	if err != nil {
		return err
	}
	return s.each(add)
}

// eachRecord reads all inputs again, which must not have changed since they were
// surveyed.
func (r *run) eachRecord(f func(source int, row int64, key, raw []byte) error) error {
	for i, s := range r.sources {
		n := int64(0)
		err := s.each(nil, func(key, raw []byte) error {
			if n == s.records {
				return errors.Join(errChanged, fmt.Errorf("%s: had %d records, now more", s.path, s.records))
			}
			n++
			return f(i, n-1, key, raw)
		})
		if err != nil {
			return err
		}
		if n != s.records {
			return fmt.Errorf("%s: had %d records, now %d: %w", s.path, s.records, n, errChanged)
		}
	}
	return nil
}

var errChanged = errors.New("the file changed while it was read")

package report

// frequent counts keys in bounded memory. Beyond its capacity it drops the
// rarest (lossy counting, Manku and Motwani 2002): a count is then too small by
// at most lost, and whatever counted more than lost is there.
type frequent[K comparable, V any] struct {
	entries  map[K]*V
	capacity int
	lost     int64
	count    func(*V) int64
}

func newFrequent[K comparable, V any](capacity int, count func(*V) int64) *frequent[K, V] {
	return &frequent[K, V]{entries: map[K]*V{}, capacity: capacity, count: count}
}

// at is the entry of k, made if it is new.
func (f *frequent[K, V]) at(k K) (v *V, fresh bool) {
	if v := f.entries[k]; v != nil {
		return v, false
	}
	if len(f.entries) >= f.capacity {
		f.prune()
	}
	v = new(V)
	f.entries[k] = v
	return v, true
}

// prune drops the least counts until half of the capacity is free.
func (f *frequent[K, V]) prune() {
	by := map[int64]int{}
	for _, v := range f.entries {
		by[f.count(v)]++
	}
	limit := int64(0)
	for left := len(f.entries); left > f.capacity/2; {
		limit++
		left -= by[limit]
	}
	for k, v := range f.entries {
		if f.count(v) <= limit {
			delete(f.entries, k)
		}
	}
	f.lost += limit
}

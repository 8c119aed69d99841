package weights

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps a file read-only. The pages are the kernel's to drop and read
// again, so an opened model costs no memory of its own.
func mapFile(name string) (data []byte, done func() error, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, nil, errors.New("not a regular file")
	}
	if st.Size() == 0 {
		return nil, nil, errors.New("the file is empty; download the model again")
	}
	data, err = unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return data, func() error { return unix.Munmap(data) }, nil
}

// dropPages forgets the pages of a mapped file that lie within data; they are
// read again when they are touched.
func dropPages(data []byte) {
	if len(data) > 0 {
		_ = unix.Madvise(data, unix.MADV_DONTNEED) // memory is at stake, not the result
	}
}

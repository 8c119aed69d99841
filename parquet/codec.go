package parquet

import (
	"sync"

	"github.com/klauspost/compress/zstd"
	pqzstd "github.com/parquet-go/parquet-go/compress/zstd"
)

// codec compresses pages. The Parquet library's own leaves literals as they are
// where it finds no repetition; the bytes of split and delta-encoded columns
// hardly repeat, but are not evenly distributed, and Huffman codes make them 5%
// smaller. Decoding is the library's.
type codec struct {
	pqzstd.Codec
	encoder func() *zstd.Encoder
}

func newCodec(level zstd.EncoderLevel) *codec {
	return &codec{encoder: sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithAllLitEntropyCompression(true),
			zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false))
		if err != nil {
			panic(err) // of the options, which are constants
		}
		return e
	})}
}

func (c *codec) Encode(dst, src []byte) ([]byte, error) {
	return c.encoder().EncodeAll(src, dst[:0]), nil
}

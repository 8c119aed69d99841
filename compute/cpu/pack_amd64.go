package cpu

import "unsafe"

//go:noescape
func interleaveAVX2(dst, src *uint16, stride, pairs int)

//go:noescape
func interleaveAVX512(dst, src *uint16, stride, pairs int)

//go:noescape
func transposeAVX2(dst, src unsafe.Pointer, dstStride, srcStride, dstStep, srcStep, blocks int)

//go:noescape
func transposeAVX512(dst, src unsafe.Pointer, dstStride, srcStride, dstStep, srcStep, blocks int)

//go:noescape
func repackAVX2(dst, src *uint16, step, panels int)

//go:noescape
func repackAVX512(dst, src *uint16, step, panels int)

func packAVX2(h *halfKernels) { packWith(h, interleaveAVX2, transposeAVX2, repackAVX2) }

// packAVX512 needs AVX512BW.
func packAVX512(h *halfKernels) { packWith(h, interleaveAVX512, transposeAVX512, repackAVX512) }

// packWith checks the bounds; assembly's distances are in bytes, but for interleave's.
func packWith(h *halfKernels,
	interleave func(dst, src *uint16, stride, pairs int),
	transpose func(dst, src unsafe.Pointer, dstStride, srcStride, dstStep, srcStep, blocks int),
	repack func(dst, src *uint16, step, panels int),
) {
	h.interleave = func(dst, src []uint16, ld, pairs int) {
		_, _ = dst[pairs*2*halfPanel-1], src[(2*pairs-1)*ld+halfPanel-1]
		interleave(&dst[0], &src[0], ld, pairs)
	}
	h.transpose = func(dst, src []uint16, dstRow, srcRow, dstStep, srcStep, blocks int) {
		_, _ = dst[(blocks-1)*dstStep+15*dstRow+lineHalf-1], src[(blocks-1)*srcStep+15*srcRow+lineHalf-1]
		transpose(unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), 2*dstRow, 2*srcRow, 2*dstStep, 2*srcStep, blocks)
	}
	h.repack = func(dst, src []uint16, step, panels int) {
		const block = halfPanel * halfPanel
		_, _ = dst[panels*block-1], src[(panels-1)*step+block-1]
		repack(&dst[0], &src[0], 2*step, panels)
	}
}

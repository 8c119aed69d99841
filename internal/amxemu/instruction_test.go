//go:build linux && amd64

package main

import (
	"math/rand/v2"
	"testing"
)

// none is the vector part of an instruction whose operands are whole registers.
func none(bytes int) vector { return vector{bytes: bytes} }

func fromMemory(bytes int) vector { return vector{bytes: bytes, inMemory: true} }

// The bytes are the GNU assembler's.
func TestDecode(t *testing.T) {
	for _, c := range []struct {
		code []byte
		want instruction
	}{
		{[]byte{0xc4, 0xe2, 0x78, 0x49, 0x07}, instruction{op: ldtilecfg, address: operand{7, -1, 0, 0}}},
		{[]byte{0xc4, 0xc2, 0x78, 0x49, 0x45, 0x10}, instruction{op: ldtilecfg, address: operand{13, -1, 0, 16}}},                     // 16(R13)
		{[]byte{0xc4, 0xe2, 0x78, 0x49, 0x05, 0xf0, 0xff, 0xff, 0xff}, instruction{op: ldtilecfg, address: operand{rip, -1, 0, -16}}}, // -16(RIP)
		{[]byte{0xc4, 0xe2, 0x79, 0x49, 0x04, 0x25, 0x40, 0, 0, 0}, instruction{op: sttilecfg, address: operand{-1, -1, 0, 64}}},      // 64
		{[]byte{0xc4, 0xe2, 0x79, 0x49, 0x44, 0xcd, 0x08}, instruction{op: sttilecfg, address: operand{5, 1, 3, 8}}},                  // 8(BP)(CX*8)
		{[]byte{0xc4, 0xe2, 0x78, 0x49, 0xc0}, instruction{op: tilerelease}},
		{[]byte{0xc4, 0xe2, 0x7b, 0x49, 0xf8}, instruction{op: tilezero, reg: 7}},
		{[]byte{0xc4, 0xa2, 0x7b, 0x4b, 0x04, 0x12}, instruction{op: tileloadd, address: operand{2, 10, 0, 0}}},                                 // (DX)(R10*1)
		{[]byte{0xc4, 0xa2, 0x7b, 0x4b, 0x5c, 0x92, 0x40}, instruction{op: tileloadd, reg: 3, address: operand{2, 10, 2, 64}}},                  // 64(DX)(R10*4)
		{[]byte{0xc4, 0x82, 0x79, 0x4b, 0xbc, 0x3e, 0x40, 0, 0, 0}, instruction{op: tileloadd, reg: 7, address: operand{14, 15, 0, 64}}},        // T1, 64(R14)(R15*1)
		{[]byte{0xc4, 0xc2, 0x7a, 0x4b, 0x1c, 0x0c}, instruction{op: tilestored, reg: 3, address: operand{12, 1, 0, 0}}},                        // (R12)(CX*1)
		{[]byte{0xc4, 0xa2, 0x7a, 0x4b, 0x0c, 0x25, 0, 0, 0, 0x80}, instruction{op: tilestored, reg: 1, address: operand{-1, 12, 0, -1 << 31}}}, // (R12*1) - 2^31
		{[]byte{0xc4, 0xe2, 0x6a, 0x5c, 0xc1}, instruction{op: tdpbf16ps, a: 1, b: 2}},
		{[]byte{0xc4, 0xe2, 0x42, 0x5c, 0xdd}, instruction{op: tdpbf16ps, reg: 3, a: 5, b: 7}},

		{[]byte{0x62, 0x92, 0x0e, 0x40, 0x52, 0xc4}, instruction{op: vdpbf16ps, a: 30, b: 28, vector: none(64)}},
		{[]byte{0x62, 0xe2, 0x36, 0x83, 0x52, 0xcf}, instruction{op: vdpbf16ps, reg: 17, a: 25, b: 7, vector: vector{bytes: 16, mask: 3, zeroing: true}}},
		{[]byte{0x62, 0x12, 0x4e, 0x2f, 0x52, 0xcf}, instruction{op: vdpbf16ps, reg: 9, a: 6, b: 31, vector: vector{bytes: 32, mask: 7}}},
		{[]byte{0x62, 0xf2, 0x56, 0x48, 0x52, 0x62, 0x02}, instruction{op: vdpbf16ps, reg: 4, a: 5, address: operand{2, -1, 0, 128}, vector: fromMemory(64)}},                               // 128(DX)
		{[]byte{0x62, 0xd2, 0x5e, 0x21, 0x52, 0x65, 0xff}, instruction{op: vdpbf16ps, reg: 4, a: 20, address: operand{13, -1, 0, -32}, vector: vector{32, 1, false, true, false}}},          // -32(R13)
		{[]byte{0x62, 0x02, 0x7e, 0x00, 0x52, 0x7c, 0xb8, 0x01}, instruction{op: vdpbf16ps, reg: 31, a: 16, address: operand{8, 15, 2, 16}, vector: fromMemory(16)}},                        // 16(R8)(R15*4)
		{[]byte{0x62, 0xf2, 0x76, 0x08, 0x52, 0x90, 0x11, 0, 0, 0}, instruction{op: vdpbf16ps, reg: 2, a: 1, address: operand{0, -1, 0, 17}, vector: fromMemory(16)}},                       // 17(AX)
		{[]byte{0x62, 0xf2, 0x6e, 0xd2, 0x52, 0x63, 0xfe}, instruction{op: vdpbf16ps, reg: 4, a: 18, address: operand{3, -1, 0, -8}, vector: vector{64, 2, true, true, true}}},              // -8(BX), broadcast
		{[]byte{0x62, 0xb2, 0x6e, 0x30, 0x52, 0xa4, 0x0c, 0, 2, 0, 0}, instruction{op: vdpbf16ps, reg: 4, a: 18, address: operand{4, 9, 0, 512}, vector: vector{32, 0, false, true, true}}}, // 512(SP)(R9*1), broadcast
		{[]byte{0x62, 0xf2, 0x76, 0x48, 0x52, 0x15, 0x40, 0, 0, 0}, instruction{op: vdpbf16ps, reg: 2, a: 1, address: operand{rip, -1, 0, 64}, vector: fromMemory(64)}},                     // 64(RIP)
		{[]byte{0x62, 0x92, 0x7e, 0x48, 0x72, 0xc7}, instruction{op: vcvtneps2bf16, b: 31, vector: none(64)}},
		{[]byte{0x62, 0xa2, 0x7e, 0x2d, 0x72, 0xf0}, instruction{op: vcvtneps2bf16, reg: 22, b: 16, vector: vector{bytes: 32, mask: 5}}},
		{[]byte{0x62, 0x72, 0x7e, 0x28, 0x72, 0x4e, 0x02}, instruction{op: vcvtneps2bf16, reg: 9, address: operand{6, -1, 0, 64}, vector: fromMemory(32)}},                   // 64(SI)
		{[]byte{0x62, 0x62, 0x7e, 0x18, 0x72, 0x77, 0x01}, instruction{op: vcvtneps2bf16, reg: 30, address: operand{7, -1, 0, 4}, vector: vector{16, 0, false, true, true}}}, // 4(DI), broadcast
		{[]byte{0x62, 0xf2, 0x6f, 0x48, 0x72, 0xd9}, instruction{op: vcvtne2ps2bf16, reg: 3, a: 2, b: 1, vector: none(64)}},
		{[]byte{0x62, 0x72, 0x17, 0x84, 0x72, 0x50, 0xff}, instruction{op: vcvtne2ps2bf16, reg: 10, a: 29, address: operand{0, -1, 0, -16}, vector: vector{16, 4, true, true, false}}}, // -16(AX)
		{[]byte{0x62, 0x72, 0x17, 0x30, 0x72, 0x50, 0x7f}, instruction{op: vcvtne2ps2bf16, reg: 10, a: 29, address: operand{0, -1, 0, 508}, vector: vector{32, 0, false, true, true}}}, // 508(AX), broadcast

		{[]byte{0x62, 0x21, 0x7c, 0x48, 0x10, 0x6c, 0x0b, 0x01}, instruction{op: vmovups, reg: 29, address: operand{3, 9, 0, 64}, vector: fromMemory(64)}}, // 64(BX)(R9*1)
		{[]byte{0x62, 0x62, 0x7d, 0x48, 0x58, 0x76, 0x02}, instruction{op: vpbroadcastd, reg: 30, address: operand{6, -1, 0, 8}, vector: fromMemory(64)}},  // 8(SI)
		{[]byte{0x48, 0x83, 0xc6, 0xfc}, instruction{op: addq, reg: 6, b: -1, number: -4}},
		{[]byte{0x49, 0x81, 0xc6, 0x00, 0x08, 0, 0}, instruction{op: addq, reg: 14, b: -1, number: 0x800}},
		{[]byte{0x4d, 0x01, 0xfc}, instruction{op: addq, reg: 12, b: 15}},
		{[]byte{0x49, 0xff, 0xcd}, instruction{op: decq, reg: 13, b: -1}},
		{[]byte{0x49, 0x29, 0xc9}, instruction{op: subq, reg: 9, b: 1}},
		{[]byte{0x49, 0x83, 0xfc, 0x10}, instruction{op: cmpq, reg: 12, b: -1, number: 16}},
		{[]byte{0x0f, 0x8e, 0x1e, 0x01, 0, 0}, instruction{op: jle, number: 0x11e}},
		{[]byte{0x4d, 0x89, 0xd4}, instruction{op: movq, reg: 12, b: 10}},
		{[]byte{0x49, 0xc7, 0xc7, 0x80, 0, 0, 0}, instruction{op: movq, reg: 15, b: -1, number: 128}},
		{[]byte{0x48, 0x85, 0xc0}, instruction{op: testq}},
		{[]byte{0x49, 0xc1, 0xe2, 0x04}, instruction{op: shlq, reg: 10, b: -1, number: 4}},
		{[]byte{0x48, 0xc1, 0xef, 0x3f}, instruction{op: shrq, reg: 7, b: -1, number: 63}},
		{[]byte{0x66, 0x49, 0x0f, 0x6e, 0xc4}, instruction{op: movqToX, a: 12}},
		{[]byte{0x66, 0x4c, 0x0f, 0x7e, 0xfb}, instruction{op: movqFromX, reg: 3, a: 15}},
		{[]byte{0xeb, 0x33}, instruction{op: jmp, number: 51}},
		{[]byte{0x75, 0xfe}, instruction{op: jnz, number: -2}},
		{[]byte{0x0f, 0x85, 0x00, 0x01, 0, 0}, instruction{op: jnz, number: 256}},
		{[]byte{0x0f, 0x18, 0x12}, instruction{op: prefetch, address: operand{2, -1, 0, 0}}},                                  // T1 (DX)
		{[]byte{0x41, 0x0f, 0x18, 0x54, 0x24, 0x40}, instruction{op: prefetch, address: operand{12, -1, 0, 64}}},              // T1 64(R12)
		{[]byte{0x42, 0x0f, 0x18, 0x8c, 0x0b, 0x00, 0x08, 0, 0}, instruction{op: prefetch, address: operand{3, 9, 0, 0x800}}}, // T0 2048(BX)(R9*1)
	} {
		c.want.length = len(c.code)
		got, ok := decode(append(c.code, 0x90, 0x90))
		if !ok || got != c.want {
			t.Errorf("% x: %+v %v, want %+v", c.code, got, ok, c.want)
		}
		for n := range c.code {
			if got, ok := decode(c.code[:n]); ok {
				t.Errorf("% x: %+v of its first %d bytes", c.code, got, n)
			}
		}
	}
	for name, code := range map[string][]byte{
		"TDPBSSD":                             {0xc4, 0xe2, 0x6b, 0x5e, 0xc1},
		"TDPFP16PS":                           {0xc4, 0xe2, 0x6b, 0x5c, 0xc1},
		"TDPBF16PS of tile 8":                 {0xc4, 0xe2, 0x3a, 0x5c, 0xc1},
		"TDPBF16PS to tile 8":                 {0xc4, 0x62, 0x6a, 0x5c, 0xc1},
		"TDPBF16PS with W":                    {0xc4, 0xe2, 0xea, 0x5c, 0xc1},
		"TDPBF16PS with L":                    {0xc4, 0xe2, 0x6e, 0x5c, 0xc1},
		"TDPBF16PS of map 0F":                 {0xc4, 0xe1, 0x6a, 0x5c, 0xc1},
		"TILELOADD without index":             {0xc4, 0xe2, 0x7b, 0x4b, 0x04, 0x22},
		"TILELOADD without SIB":               {0xc4, 0xe2, 0x7b, 0x4b, 0x02},
		"TILELOADD of a register":             {0xc4, 0xe2, 0x7b, 0x4b, 0xc4, 0x12},
		"TILELOADD with vvvv":                 {0xc4, 0xa2, 0x73, 0x4b, 0x04, 0x12},
		"TILEZERO with rm":                    {0xc4, 0xe2, 0x7b, 0x49, 0xf9},
		"TILERELEASE with reg":                {0xc4, 0xe2, 0x78, 0x49, 0xc8},
		"LDTILECFG with reg":                  {0xc4, 0xe2, 0x78, 0x49, 0x0f},
		"VPMULLD":                             {0xc4, 0xe2, 0x79, 0x40, 0xc1},
		"VZEROUPPER":                          {0xc5, 0xf8, 0x77, 0x90, 0x90},
		"VDPBF16PS with W":                    {0x62, 0xf2, 0xee, 0x48, 0x52, 0xcb},
		"VDPBF16PS of 1024 bits":              {0x62, 0xf2, 0x6e, 0x68, 0x52, 0xcb},
		"VDPBF16PS broadcast from a register": {0x62, 0xf2, 0x6e, 0x58, 0x52, 0xcb},
		"VDPBF16PS zeroing without a mask":    {0x62, 0xf2, 0x6e, 0xc8, 0x52, 0xcb},
		"VDPBF16PS with a bit that must be 0": {0x62, 0xfa, 0x6e, 0x48, 0x52, 0xcb},
		"VDPBF16PS with a bit that must be 1": {0x62, 0xf2, 0x6a, 0x48, 0x52, 0xcb},
		"VDPBF16PS of map 0F":                 {0x62, 0xf1, 0x6e, 0x48, 0x52, 0xcb},
		"VPDPWSSD":                            {0x62, 0xf2, 0x6d, 0x48, 0x52, 0xcb},
		"VCVTNEPS2BF16 with vvvv":             {0x62, 0xf2, 0x6e, 0x48, 0x72, 0xcb},
		"VCVTNEPS2BF16 with V'":               {0x62, 0xf2, 0x7e, 0x40, 0x72, 0xcb},
		"VPSHRDVW":                            {0x62, 0xf2, 0xed, 0x48, 0x72, 0xcb},
		"VMOVUPS with a mask":                 {0x62, 0xf1, 0x7c, 0x49, 0x10, 0x06},
		"VMOVUPS with vvvv":                   {0x62, 0xf1, 0x6c, 0x48, 0x10, 0x06},
		"VMOVUPS between registers":           {0x62, 0xf1, 0x7c, 0x48, 0x10, 0xc1},
		"VMOVUPD":                             {0x62, 0xf1, 0xfd, 0x48, 0x10, 0x06},
		"VPBROADCASTD of a register":          {0x62, 0xf2, 0x7d, 0x48, 0x58, 0xc1},
		"ADDL":                                {0x83, 0xc6, 0x04},
		"ADDQ to memory":                      {0x48, 0x83, 0x06, 0x04},
		"SUBQ of a number":                    {0x48, 0x83, 0xee, 0x04},
		"VMOVUPS to memory":                   {0x62, 0xf1, 0x7c, 0x48, 0x11, 0x06},
		"MOVQ from memory":                    {0x48, 0x8b, 0x07},
		"MOVL":                                {0x89, 0xc1},
		"SHLQ by 1":                           {0x48, 0xc1, 0xe0, 0x01},
		"SHLQ by 64":                          {0x48, 0xc1, 0xe0, 0x40},
		"SARQ":                                {0x48, 0xc1, 0xf8, 0x04},
		"MOVD to an X register":               {0x66, 0x0f, 0x6e, 0xc4},
		"MOVQ from memory to an X register":   {0x66, 0x48, 0x0f, 0x6e, 0x07},
		"ADDW":                                {0x66, 0x01, 0xc1},
		"ADCQ":                                {0x48, 0x83, 0xd6, 0x04},
		"INCQ":                                {0x48, 0xff, 0xc1},
		"CALL of a register":                  {0x48, 0xff, 0xd1},
		"JZ":                                  {0x74, 0xfe},
		"JNZ with a prefix":                   {0x48, 0x75, 0xfe},
		"UD2":                                 {0x0f, 0x0b, 0x90, 0x90, 0x90},
		"a hint that is no PREFETCH":          {0x0f, 0x18, 0xe0, 0x90, 0x90},
		"PREFETCH with another's reg":         {0x0f, 0x18, 0x22, 0x90, 0x90},
	} {
		if got, ok := decode(append(code, 0x90, 0x90)); ok {
			t.Errorf("%s is %+v", name, got)
		}
	}
}

// Whatever the bytes are, decode reads no further than they go.
func TestDecodeAnything(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 3))
	for range 1_000_000 {
		code := make([]byte, r.IntN(16))
		for i := range code {
			code[i] = byte(r.Uint32())
		}
		if len(code) > 0 {
			code[0] = []byte{0x62, 0xc4, 0xc5, 0x48, 0x0f, code[0]}[r.IntN(6)]
		}
		if in, ok := decode(code); ok && in.length > len(code) {
			t.Fatalf("% x: %+v", code, in)
		}
	}
}

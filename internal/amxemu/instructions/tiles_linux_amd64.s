#include "textflag.h"

#define LDTILECFG_DI BYTE $0xc4; BYTE $0xe2; BYTE $0x78; BYTE $0x49; BYTE $0x07
#define STTILECFG_SI BYTE $0xc4; BYTE $0xe2; BYTE $0x79; BYTE $0x49; BYTE $0x06
#define STTILECFG_BX BYTE $0xc4; BYTE $0xe2; BYTE $0x79; BYTE $0x49; BYTE $0x03
#define TILERELEASE BYTE $0xc4; BYTE $0xe2; BYTE $0x78; BYTE $0x49; BYTE $0xc0
#define TDPBF16PS_2_1_0 BYTE $0xc4; BYTE $0xe2; BYTE $0x6a; BYTE $0x5c; BYTE $0xc1

// func multiply(cfg *config, c, a, b matrix)
TEXT ·multiply(SB), NOSPLIT, $0-56
	MOVQ cfg+0(FP), DI
	MOVQ c_data+8(FP), DX
	MOVQ c_stride+16(FP), R10
	MOVQ a_data+24(FP), SI
	MOVQ a_stride+32(FP), R8
	MOVQ b_data+40(FP), BX
	MOVQ b_stride+48(FP), R9
	LDTILECFG_DI
	BYTE $0xc4; BYTE $0xa2; BYTE $0x7b; BYTE $0x4b; BYTE $0x04; BYTE $0x12 // TILELOADD (DX)(R10*1), T0
	BYTE $0xc4; BYTE $0xa2; BYTE $0x7b; BYTE $0x4b; BYTE $0x0c; BYTE $0x06 // TILELOADD (SI)(R8*1), T1
	BYTE $0xc4; BYTE $0xa2; BYTE $0x79; BYTE $0x4b; BYTE $0x14; BYTE $0x0b // TILELOADDT1 (BX)(R9*1), T2
	TDPBF16PS_2_1_0
	BYTE $0xc4; BYTE $0xa2; BYTE $0x7a; BYTE $0x4b; BYTE $0x04; BYTE $0x12 // TILESTORED T0, (DX)(R10*1)
	TILERELEASE
	RET

// func zero(cfg *config, m matrix)
TEXT ·zero(SB), NOSPLIT, $0-24
	MOVQ cfg+0(FP), DI
	MOVQ m_data+8(FP), DX
	MOVQ m_stride+16(FP), R10
	LDTILECFG_DI
	BYTE $0xc4; BYTE $0xa2; BYTE $0x7b; BYTE $0x4b; BYTE $0x1c; BYTE $0x12 // TILELOADD (DX)(R10*1), T3
	BYTE $0xc4; BYTE $0xe2; BYTE $0x7b; BYTE $0x49; BYTE $0xd8 // TILEZERO T3
	BYTE $0xc4; BYTE $0xa2; BYTE $0x7a; BYTE $0x4b; BYTE $0x1c; BYTE $0x12 // TILESTORED T3, (DX)(R10*1)
	BYTE $0xc4; BYTE $0xa2; BYTE $0x7b; BYTE $0x4b; BYTE $0x1c; BYTE $0x12 // TILELOADD (DX)(R10*1), T3
	BYTE $0xc4; BYTE $0xa2; BYTE $0x7a; BYTE $0x4b; BYTE $0x1c; BYTE $0x12 // TILESTORED T3, (DX)(R10*1)
	TILERELEASE
	RET

// func move(cfg *config, to, from matrix)
TEXT ·move(SB), NOSPLIT, $0-40
	MOVQ cfg+0(FP), DI
	MOVQ to_data+8(FP), R12
	MOVQ to_stride+16(FP), CX
	MOVQ from_data+24(FP), DX
	MOVQ from_stride+32(FP), R10
	LDTILECFG_DI
	BYTE $0xc4; BYTE $0xa2; BYTE $0x7b; BYTE $0x4b; BYTE $0x5c; BYTE $0x92; BYTE $0x40 // TILELOADD 64(DX)(R10*4), T3
	PREFETCHT1 64(R12)
	PREFETCHT0 (DX)(R10*1)
	BYTE $0xc4; BYTE $0xc2; BYTE $0x7a; BYTE $0x4b; BYTE $0x1c; BYTE $0x0c // TILESTORED T3, (R12)(CX*1)
	TILERELEASE
	RET

// func configuration(cfg, loaded, released *config)
TEXT ·configuration(SB), NOSPLIT, $0-24
	MOVQ cfg+0(FP), DI
	MOVQ loaded+8(FP), SI
	MOVQ released+16(FP), BX
	LDTILECFG_DI
	STTILECFG_SI
	TILERELEASE
	STTILECFG_BX
	RET

// func integer(cfg *config)
TEXT ·integer(SB), NOSPLIT, $0-8
	MOVQ cfg+0(FP), DI
	LDTILECFG_DI
	BYTE $0xc4; BYTE $0xe2; BYTE $0x6b; BYTE $0x5e; BYTE $0xc1 // TDPBSSD T2, T1, T0
	TILERELEASE
	RET

// func unconfigured()
TEXT ·unconfigured(SB), NOSPLIT, $0-0
	TILERELEASE
	TDPBF16PS_2_1_0
	RET

// func same(cfg *config)
TEXT ·same(SB), NOSPLIT, $0-8
	MOVQ cfg+0(FP), DI
	LDTILECFG_DI
	BYTE $0xc4; BYTE $0xe2; BYTE $0x72; BYTE $0x5c; BYTE $0xc1 // TDPBF16PS T1, T1, T0
	TILERELEASE
	RET

#include "textflag.h"

// MXCSR: denormal results are 0, no exceptions, to nearest even, denormal operands are 0.
DATA ·asManual<>+0(SB)/4, $0x9fc0
GLOBL ·asManual<>(SB), RODATA|NOPTR, $4

DATA ·upper<>+0(SB)/4, $0xffff0000
GLOBL ·upper<>(SB), RODATA|NOPTR, $4

// func addPairs(c, a, b *line)
TEXT ·addPairs(SB), NOSPLIT, $8-24
	MOVQ c+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	STMXCSR mxcsr-8(SP)
	LDMXCSR ·asManual<>(SB)
	VPBROADCASTD ·upper<>(SB), Z5
	VMOVUPS (DI), Z0
	VMOVUPS (SI), Z1
	VMOVUPS (DX), Z2
	VPANDD Z5, Z1, Z3
	VPANDD Z5, Z2, Z4
	VFMADD231PS Z4, Z3, Z0
	VPSLLD $16, Z1, Z3
	VPSLLD $16, Z2, Z4
	VFMADD231PS Z4, Z3, Z0
	VMOVUPS Z0, (DI)
	LDMXCSR mxcsr-8(SP)
	VZEROUPPER
	RET

// func product(c, a, b *[tileRows]line, rows, pairs int, columns uint64)
TEXT ·product(SB), NOSPLIT, $8-48
	MOVQ c+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ rows+24(FP), R8
	MOVQ columns+40(FP), AX
	STMXCSR mxcsr-8(SP)
	LDMXCSR ·asManual<>(SB)
	KMOVW AX, K1
	VPBROADCASTD ·upper<>(SB), Z5
row:
	MOVQ SI, R9
	MOVQ BX, DX
	MOVQ pairs+32(FP), CX
	VPXORD Z0, Z0, Z0 // of the first halves
	VPXORD Z1, Z1, Z1 // of the second ones
pair:
	VPBROADCASTD (R9), Z2
	VMOVUPS (DX), Z3
	VPSLLD $16, Z2, Z4
	VPSLLD $16, Z3, Z6
	VFMADD231PS Z6, Z4, Z0
	VPANDD Z5, Z2, Z4
	VPANDD Z5, Z3, Z6
	VFMADD231PS Z6, Z4, Z1
	ADDQ $4, R9
	ADDQ $64, DX
	DECQ CX
	JNZ pair
	VADDPS Z1, Z0, Z0
	VMOVUPS (DI), Z1
	VADDPS Z0, Z1, Z1
	VMOVUPS Z1, K1, (DI)
	ADDQ $64, SI
	ADDQ $64, DI
	DECQ R8
	JNZ row
	LDMXCSR mxcsr-8(SP)
	VZEROUPPER
	RET

// func cpuid(leaf, sub uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL sub+4(FP), CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
	RET

#include "textflag.h"

// func rawIO(call uintptr, fd int, p unsafe.Pointer, n, flags int) int
TEXT ·rawIO(SB), NOSPLIT, $0-48
	MOVQ call+0(FP), AX
	MOVQ fd+8(FP), DI
	MOVQ p+16(FP), SI
	MOVQ n+24(FP), DX
	MOVQ flags+32(FP), R10
	XORL R8, R8 // no address
	XORL R9, R9
	SYSCALL
	MOVQ AX, ret+40(FP)
	RET

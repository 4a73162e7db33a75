#include "textflag.h"

// func hasSHA() bool
TEXT ·hasSHA(SB), NOSPLIT, $0-1
	MOVL  $7, AX
	XORL  CX, CX
	CPUID
	SHRL  $29, BX           // leaf 7, EBX, bit 29: the SHA extensions
	ANDL  $1, BX
	MOVB  BX, ret+0(FP)
	RET

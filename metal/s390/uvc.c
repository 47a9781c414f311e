/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UVC, "Ultravisor call": 0xb9a4, RRF; R1 holds zero, R2 the address of the control block. Without
 * the Ultravisor-call facility (bit 158) it is an operation exception, and software answers.
 */
#include "uvc.h"
#include "s390.h"

#define UVC_OPCODE 0xb9a4u
#define UVC_LENGTH 4u

int (*uvc_software)(uint64_t control_block);

int uvc(void *control_block)
{
	int cc;

	lowcore.no_ultravisor = 0;
	__asm__ volatile(".insn	rrf,0xb9a40000,%[zero],%[block],0,0\n\t"
			 "ipm	%[cc]\n\t"
			 "srl	%[cc],28"
			 : [cc] "=d"(cc)
			 : [zero] "d"(UINT64_C(0)), [block] "d"(control_block)
			 : "cc", "memory");
	return lowcore.no_ultravisor != 0 ? UVC_NO_ULTRAVISOR : cc;
}

bool uvc_trapped(void)
{
	const uint8_t *code; /* operation exceptions are suppressing: the PSW is behind it */
	int cc = 0;

	if (lowcore.program_code != PROGRAM_OPERATION || lowcore.program_length != UVC_LENGTH) {
		return false;
	}
	code = (const uint8_t *)(uintptr_t)(lowcore.program_old.addr - UVC_LENGTH);
	if ((code[0] << 8 | code[1]) != UVC_OPCODE) {
		return false;
	}
	if (uvc_software != NULL) {
		cc = uvc_software(lowcore.trap_regs[code[3] & 15]);
	} else {
		lowcore.no_ultravisor = 1;
	}
	lowcore.program_old.mask &= ~(UINT64_C(3) << PSW_CC_SHIFT);
	lowcore.program_old.mask |= (uint64_t)(cc & 3) << PSW_CC_SHIFT;
	return true;
}

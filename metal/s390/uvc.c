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

	lowcore.uvc_program = 0;
	__asm__ volatile(".insn	rrf,0xb9a40000,%[zero],%[block],0,0\n\t"
			 "ipm	%[cc]\n\t"
			 "srl	%[cc],28"
			 : [cc] "=d"(cc)
			 : [zero] "d"(UINT64_C(0)), [block] "d"(control_block)
			 : "cc", "memory");
	return lowcore.uvc_program != 0 ? -(int)lowcore.uvc_program : cc;
}

/* The UVC before an address, if the last interruption was that there is no such instruction. */
static const uint8_t *missing_uvc(const uint8_t *behind)
{
	const uint8_t *code = behind - UVC_LENGTH;
	bool operation =
		lowcore.program_code == PROGRAM_OPERATION && lowcore.program_length == UVC_LENGTH;

	return operation && (code[0] << 8 | code[1]) == UVC_OPCODE ? code : NULL;
}

static void set_cc(volatile struct psw *psw, int cc)
{
	psw->mask &= ~(UINT64_C(3) << PSW_CC_SHIFT);
	psw->mask |= (uint64_t)(cc & 3) << PSW_CC_SHIFT;
}

bool uvc_trapped(void)
{
	/* Operation exceptions are suppressing: the PSW is behind it. */
	const uint8_t *code = missing_uvc((const uint8_t *)(uintptr_t)lowcore.program_old.addr);
	int cc = UVC_NO_ULTRAVISOR;

	if (code == NULL) {
		return false;
	}
	if (uvc_software != NULL) {
		cc = uvc_software(lowcore.trap_regs[code[3] & 15]);
	}
	if (cc < 0) {
		lowcore.uvc_program = (uint16_t)-cc;
	} else {
		set_cc(&lowcore.program_old, cc);
	}
	return true;
}

bool uvc_of_guest(const struct guest_exit *e, uint64_t *control_block)
{
	uint64_t at = e->pc - GUEST_CODE_GPA; /* in the guest's code, which is ours, too */
	const uint8_t *code;

	if (e->kind != EXIT_OTHER || at < UVC_LENGTH ||
	    at > (uint64_t)(guest_code_end - guest_code)) {
		return false;
	}
	code = missing_uvc((const uint8_t *)guest_code + at);
	if (code != NULL) {
		*control_block = lowcore.guest_regs[code[3] & 15];
	}
	return code != NULL;
}

void uvc_answer(int cc)
{
	set_cc(&lowcore.guest_psw, cc);
}

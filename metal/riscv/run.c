/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests: where they are, how they start, why they stop. */
#include "cpu.h"

/* "Hypervisor Status Register (hstatus)" and "Supervisor Status Register (sstatus)". */
#define HSTATUS_SPV (UINT64_C(1) << 7)	/* SRET goes to V=1 ... */
#define HSTATUS_SPVP (UINT64_C(1) << 8) /* HLV and HSV act as VS-mode does */
#define SSTATUS_SPIE (UINT64_C(1) << 5)
#define SSTATUS_SPP (UINT64_C(1) << 8) /* ... and to S-mode there */

/* "Supervisor Cause Register (scause)", with the codes of the H extension. */
#define CAUSE_INTERRUPT (UINT64_C(1) << 63)
#define CAUSE_ECALL_VS 10
#define CAUSE_FETCH_GUEST_PAGE 20
#define CAUSE_LOAD_GUEST_PAGE 21
#define CAUSE_STORE_GUEST_PAGE 23

#define TICKS_PER_MICROSECOND 10 /* timebase-frequency of the "virt" machine */
#define DEADLINE_MAX (UINT64_C(1) << 40)

enum {
	REG_PC = 0,
	REG_A0 = 10,
	REG_A1 = 11,
	REG_A2 = 12
};

void machine_start(uint64_t pc, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t *guest = cpu_this()->guest;

	for (unsigned i = 0; i < 32; i++) {
		guest[i] = 0;
	}
	guest[REG_PC] = pc;
	guest[REG_A0] = a;
	guest[REG_A1] = b;
	guest[REG_A2] = c;
}

void machine_answer(uint64_t value)
{
	cpu_this()->guest[REG_A0] = value;
}

static void exit_fault(struct guest_exit *e, unsigned access)
{
	e->kind = EXIT_FAULT;
	/* "Hypervisor Trap Value Register (htval)": all but the last two bits. */
	e->gpa = CSR_READ(htval) << 2 | (CSR_READ(stval) & 3);
	e->access = (uint8_t)access;
}

static void exit_call(struct guest_exit *e, uint64_t *guest)
{
	e->kind = EXIT_CALL;
	e->call[0] = guest[REG_A0];
	e->call[1] = guest[REG_A1];
	e->call[2] = guest[REG_A2];
	guest[REG_PC] += 4;
}

void machine_run(struct guest_exit *e, uint64_t deadline)
{
	struct cpu *cpu = cpu_this();
	uint64_t time = deadline < DEADLINE_MAX ? deadline : DEADLINE_MAX;

	/* Never taken back: a timer that is late ends nothing but a guest's run or a WFI. */
	sbi_timer(CSR_READ(time) + time * TICKS_PER_MICROSECOND);
	CSR_SET(hstatus, HSTATUS_SPV | HSTATUS_SPVP);
	CSR_SET(sstatus, SSTATUS_SPP);
	CSR_CLEAR(sstatus, SSTATUS_SPIE);
	guest_enter(cpu);

	*e = (struct guest_exit){
		.kind = EXIT_OTHER,
		.level = S2_LEVEL_ANY,
		.pc = cpu->guest[REG_PC],
		.raw = {CSR_READ(scause), CSR_READ(stval), CSR_READ(htval)},
	};
	switch (e->raw[0]) {
	case CAUSE_INTERRUPT | INTERRUPT_TIMER:
		e->kind = EXIT_DEADLINE;
		break;
	case CAUSE_INTERRUPT | INTERRUPT_SOFTWARE:
		CSR_CLEAR(sip, 1u << INTERRUPT_SOFTWARE);
		e->kind = EXIT_KICK;
		break;
	case CAUSE_ECALL_VS:
		exit_call(e, cpu->guest);
		break;
	case CAUSE_FETCH_GUEST_PAGE:
		exit_fault(e, S2_EXEC);
		break;
	case CAUSE_LOAD_GUEST_PAGE:
		exit_fault(e, S2_READ);
		break;
	case CAUSE_STORE_GUEST_PAGE:
		exit_fault(e, S2_WRITE);
		break;
	default:
		break;
	}
}

/* lui a0, value; addiw a0, a0, value; ret */
void machine_code(void *to, uint16_t value)
{
	uint32_t *code = to;
	uint32_t upper = (value + 0x800u) >> 12;

	code[0] = upper << 12 | 10 << 7 | 0x37;
	code[1] = (uint32_t)(value & 0xfff) << 20 | 10 << 15 | 10 << 7 | 0x1b;
	code[2] = 0x00008067;
	fence_code();
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs of a guest, and why they end. */
#include <stage2/arm64.h>

#include "machine_arm64.h"

/* ESR_EL2 (D24.2.46). */
#define ESR_EC(esr) field(esr, 31, 26)
#define EC_HVC64 0x16
#define EC_FETCH 0x20 /* Instruction Abort from a lower Exception level */
#define EC_DATA 0x24  /* Data Abort from a lower Exception level */
#define HVC_IMMEDIATE(esr) field(esr, 15, 0)
#define ABORT_WRITE(esr) field(esr, 6, 6)  /* WnR */
#define ABORT_STATUS(esr) field(esr, 5, 2) /* of DFSC, IFSC: all but the level */
#define STATUS_TRANSLATION 1u
#define STATUS_ACCESS 2u
#define STATUS_PERMISSION 3u
#define ABORT_LEVEL(esr) field(esr, 1, 0)
#define ABORT_CONFLICT(esr) (field(esr, 5, 0) == 0x30)

#define HPFAR_PAGE(hpfar) field(hpfar, 47, 4) /* of the gpa, from bit 12 up (D24.2.76) */

#define SCTLR_EL1_OFF UINT64_C(0x30d00800) /* M, C and I are 0; the rest is RES1 */
#define PSTATE_EL1H UINT64_C(0x3c5)	   /* all exceptions masked */

/* guest.S uses no others. */
#define HVC_CALL 0u
#define HVC_EXCEPTION 1u /* the guest's own vectors */

/* vectors.S knows where what is. */
struct guest {
	uint64_t x[31];
	uint64_t pc;
	uint64_t pstate;
};

_Static_assert(offsetof(struct guest, pc) == 0xf8, "vectors.S");

/* The vectors of one kind of origin. */
enum leave {
	LEAVE_SYNC = 0,
	LEAVE_IRQ = 1,
	LEAVE_FIQ = 2,
	LEAVE_SERROR = 3,
};

unsigned guest_enter(struct guest *guest);

extern const char guest_vectors[];

static struct guest guests[CPU_COUNT];

REGISTER(esr_el2);
REGISTER(far_el2);
REGISTER(hpfar_el2);
REGISTER(sctlr_el1);
REGISTER(vbar_el1);
REGISTER(esr_el1);
REGISTER(elr_el1);
REGISTER(far_el1);

void run_init_cpu(void)
{
	write_sctlr_el1(SCTLR_EL1_OFF);
	write_vbar_el1(GUEST_CODE_GPA + (uint64_t)(guest_vectors - guest_code));
}

void machine_start(uint64_t pc, uint64_t a, uint64_t b, uint64_t c)
{
	guests[machine_cpu()] = (struct guest){
		.x = {a, b, c},
		.pc = pc,
		.pstate = PSTATE_EL1H,
	};
}

void machine_answer(uint64_t value)
{
	guests[machine_cpu()].x[0] = value;
}

static void exit_call(struct guest_exit *e, const struct guest *guest)
{
	if (HVC_IMMEDIATE(e->raw[0]) != HVC_CALL) {
		e->kind = EXIT_OTHER;
		e->raw[0] = read_esr_el1();
		e->raw[1] = read_far_el1();
		e->raw[2] = read_elr_el1();
		return;
	}
	e->kind = EXIT_CALL;
	for (size_t i = 0; i < 3; i++) {
		e->call[i] = guest->x[i];
	}
}

/*
 * HPFAR_EL2 has the page for all but permission faults. Our guests' own MMU is off, so that the
 * address they used, in FAR_EL2, is a gpa.
 */
static void exit_abort(struct guest_exit *e, bool data)
{
	uint64_t esr = e->raw[0];

	switch (ABORT_STATUS(esr)) {
	case STATUS_TRANSLATION:
		break;
	case STATUS_ACCESS:
		e->mark = true;
		break;
	case STATUS_PERMISSION:
		e->permission = true;
		break;
	default:
		return;
	}
	e->kind = EXIT_FAULT;
	e->gpa = e->raw[1];
	if (!e->permission) {
		e->gpa = HPFAR_PAGE(e->raw[2]) << S2_PAGE_LG2 | (e->gpa & (S2_PAGE_SIZE - 1));
	}
	e->access = !data ? S2_EXEC : ABORT_WRITE(esr) ? S2_WRITE : S2_READ;
	e->level = (uint8_t)(3 - ABORT_LEVEL(esr));
}

/* Returns false if the guest is to go on. */
static bool exit_sync(struct guest_exit *e, const struct guest *guest)
{
	e->raw[0] = read_esr_el2();
	e->raw[1] = read_far_el2();
	e->raw[2] = read_hpfar_el2();
	switch (ESR_EC(e->raw[0])) {
	case EC_HVC64:
		exit_call(e, guest);
		return true;
	case EC_FETCH:
	case EC_DATA:
		/* What arm64.h wants for spaces with S2_ARM64_BBM1 and _BBM2. */
		if (ABORT_CONFLICT(e->raw[0])) {
			mmu_flush_conflict();
			return false;
		}
		exit_abort(e, ESR_EC(e->raw[0]) == EC_DATA);
		return true;
	default:
		return true;
	}
}

static bool exit_interrupt(struct guest_exit *e)
{
	switch (interrupt_take()) {
	case INTERRUPT_DEADLINE:
		e->kind = EXIT_DEADLINE;
		return true;
	case INTERRUPT_KICK:
		e->kind = EXIT_KICK;
		return true;
	case INTERRUPT_NONE:
		break;
	}
	return false;
}

static bool exit_any(struct guest_exit *e, enum leave leave, const struct guest *guest)
{
	*e = (struct guest_exit){.kind = EXIT_OTHER, .level = S2_LEVEL_ANY, .pc = guest->pc};
	switch (leave) {
	case LEAVE_SYNC:
		return exit_sync(e, guest);
	case LEAVE_IRQ:
		return exit_interrupt(e);
	case LEAVE_FIQ:
	case LEAVE_SERROR:
		e->raw[0] = read_esr_el2();
		break;
	}
	return true;
}

void machine_run(struct guest_exit *e, uint64_t deadline)
{
	struct guest *guest = &guests[machine_cpu()];
	bool done;

	deadline_set(deadline_after(deadline));
	do {
		done = exit_any(e, (enum leave)guest_enter(guest), guest);
	} while (!done);
	deadline_clear();
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest: a program in the problem state with DAT on, in the primary address space of control
 * register 1. It sees nothing of the processor but its registers.
 */
#include "s390.h"

#define GUEST_MASK (PSW_DAT | PSW_EXTERNAL | PSW_PROBLEM | PSW_64)

/*
 * A guest is interrupted now and then for nothing: QEMU with one thread for both processors
 * (-icount) then goes on to the other one.
 */
#define SLICE_US 100

/* Translation-exception identification, PoP chapter 3, "Assigned Storage Locations", 168-175. */
#define TEID_PAGE (~UINT64_C(0xfff))
#define TEID_STORE UINT64_C(0x400)
#define TEID_FETCH UINT64_C(0x800)
/* Of a protection exception: which protection. */
#define TEID_PROTECTION UINT64_C(0x8c)
#define TEID_DAT UINT64_C(0x04)
#define TEID_IEP UINT64_C(0x84)

static uint64_t control_one(void)
{
	uint64_t value;

	__asm__ volatile("stctg	1,1,%0" : "=Q"(value));
	return value;
}

/* To load purges nothing; but QEMU drops its whole TLB, and the tests want to see what is in it. */
void machine_load(const struct s2_space *s, unsigned id)
{
	uint64_t asce = s != NULL ? s2_s390_asce(s2_space_root(s), s->top) : 0;

	(void)id; /* what is cached is known by the ASCE */
	if (asce != control_one()) {
		__asm__ volatile("lctlg	1,1,%0" : : "Q"(asce) : "memory");
	}
}

void machine_forget(void)
{
	mmu_forget();
}

void machine_start(uint64_t pc, uint64_t a, uint64_t b, uint64_t c)
{
	lowcore.guest_psw.mask = GUEST_MASK;
	lowcore.guest_psw.addr = pc;
	lowcore.guest_regs[2] = a;
	lowcore.guest_regs[3] = b;
	lowcore.guest_regs[4] = c;
}

void machine_answer(uint64_t value)
{
	lowcore.guest_regs[2] = value;
}

static uint8_t access_of(uint64_t teid, uint64_t pc)
{
	if (!facility(FACILITY_ACCESS)) {
		return 0;
	}
	if (teid & TEID_STORE) {
		return S2_WRITE;
	}
	/* Of data or of instructions: data are not fetched before the instruction was. */
	return (teid & TEID_PAGE) == (pc & TEID_PAGE) ? S2_EXEC : S2_READ;
}

/* Region and segment tables are levels 4 to 1; where the item is invalid, or there is no table. */
static uint8_t level_of(unsigned code)
{
	switch (code) {
	case PROGRAM_REGION_FIRST:
		return 4;
	case PROGRAM_REGION_SECOND:
		return 3;
	case PROGRAM_REGION_THIRD:
		return 2;
	case PROGRAM_SEGMENT:
		return 1;
	case PROGRAM_PAGE:
		return 0;
	default:
		return S2_LEVEL_ANY;
	}
}

static void translation(struct guest_exit *e, unsigned code)
{
	e->kind = EXIT_FAULT;
	e->gpa = lowcore.teid & TEID_PAGE;
	e->access = access_of(lowcore.teid, e->pc);
	e->level = level_of(code);
}

/* Suppresses: the PSW is behind the instruction, which is to be repeated. */
static void protection(struct guest_exit *e)
{
	uint64_t which = lowcore.teid & TEID_PROTECTION;

	if (which != TEID_DAT && which != TEID_IEP) {
		return;
	}
	lowcore.guest_psw.addr -= lowcore.program_length;
	e->kind = EXIT_FAULT;
	e->pc = lowcore.guest_psw.addr;
	e->gpa = lowcore.teid & TEID_PAGE;
	e->access = which == TEID_IEP ? S2_EXEC : S2_WRITE;
	e->permission = true;
}

static void program_exit(struct guest_exit *e)
{
	unsigned code = lowcore.program_code;

	e->raw[0] = code;
	e->raw[1] = lowcore.teid;
	switch (code) {
	case PROGRAM_PROTECTION:
		protection(e);
		break;
	case PROGRAM_SEGMENT:
	case PROGRAM_PAGE:
	case PROGRAM_ASCE_TYPE:
	case PROGRAM_REGION_FIRST:
	case PROGRAM_REGION_SECOND:
	case PROGRAM_REGION_THIRD:
		translation(e, code);
		break;
	default:
		break;
	}
}

static void svc_exit(struct guest_exit *e)
{
	e->raw[0] = lowcore.svc_code;
	if (lowcore.svc_code == 0) {
		e->kind = EXIT_CALL;
		for (unsigned i = 0; i < 3; i++) {
			e->call[i] = lowcore.guest_regs[2 + i];
		}
	}
}

unsigned external_arrived(void)
{
	unsigned code = lowcore.external_code;

	lowcore.external_code = 0;
	if (code == EXTERNAL_SERVICE_SIGNAL) {
		sclp_done();
	} else if (code == EXTERNAL_EMERGENCY_SIGNAL) {
		lowcore.kicks = 1;
	}
	return code;
}

/* False: it was not for the guest. The next run looks for kicks and at the clock. */
static bool external_exit(struct guest_exit *e)
{
	unsigned code = external_arrived();

	e->raw[0] = code;
	return code != EXTERNAL_SERVICE_SIGNAL && code != EXTERNAL_EMERGENCY_SIGNAL &&
	       code != EXTERNAL_CLOCK_COMPARATOR;
}

/* Is there a reason not to run it? */
static bool stopped(struct guest_exit *e, uint64_t end)
{
	if (lowcore.kicks != 0) {
		lowcore.kicks = 0;
		e->kind = EXIT_KICK;
	} else if (clock_now() >= end) {
		e->kind = EXIT_DEADLINE;
	} else {
		return false;
	}
	e->pc = lowcore.guest_psw.addr;
	return true;
}

/* Runs the guest until something ends that; false: once more. */
static bool run(struct guest_exit *e, uint64_t end)
{
	uint64_t slice = clock_now() + SLICE_US * CLOCK_US;
	unsigned trap;

	*e = (struct guest_exit){.kind = EXIT_OTHER, .level = S2_LEVEL_ANY};
	if (stopped(e, end)) {
		return true;
	}
	clock_comparator(slice < end ? slice : end);
	trap = guest_enter();
	e->pc = lowcore.guest_psw.addr;
	e->raw[2] = lowcore.guest_psw.mask;
	switch (trap) {
	case TRAP_SVC:
		svc_exit(e);
		return true;
	case TRAP_PROGRAM:
		program_exit(e);
		return true;
	case TRAP_EXTERNAL:
		return external_exit(e);
	default:
		return true;
	}
}

void machine_run(struct guest_exit *e, uint64_t deadline)
{
	uint64_t end = clock_now() + deadline * CLOCK_US;

	while (!run(e, end)) {
	}
	clock_comparator(CLOCK_NEVER);
}

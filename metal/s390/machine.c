/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine: facilities, processors, the clock, the end. */
#include "s390.h"

#define ARGUMENTS UINT64_C(0x8000)

/* Signal-processor orders, PoP chapter 4, "Signal-Processor Orders". */
#define SIGP_SENSE 0x01u
#define SIGP_EMERGENCY_SIGNAL 0x03u
#define SIGP_STOP 0x05u
#define SIGP_RESTART 0x06u
#define SIGP_INITIAL_CPU_RESET 0x0bu
#define SIGP_SET_PREFIX 0x0du

#define SIGP_STATUS_STOPPED 0x40u

/*
 * Control register 0, PoP chapter 4, "Control Registers": what may interrupt a guest, and what DAT
 * can do. Low-address protection is off. Loaded once: QEMU drops its TLB with each load.
 */
#define CR0_EDAT UINT64_C(0x800000)
#define CR0_IEP UINT64_C(0x100000)
#define CR0_EMERGENCY_SIGNAL UINT64_C(0x4000)
#define CR0_CLOCK_COMPARATOR UINT64_C(0x800)
#define CR0_SERVICE_SIGNAL UINT64_C(0x200)

/* How often machine_relax() waits, and how long. */
#define RELAX_SPINS 1024
#define RELAX_US 10

/* The end: a disabled wait; QEMU tells its address. */
#define EXIT_ADDRESS UINT64_C(0xdead0000)
#define EXIT_TRAP 4

/* start.S */
void start_other(void);
void svc_interruption(void);
void program_interruption(void);
void machine_check_interruption(void);
void io_interruption(void);
void external_interruption(void);

/* Called from there. */
_Noreturn void cpu_entered(void);
void trap(unsigned kind);

struct machine machine;

char boot_stack[STACK_SIZE] __attribute__((aligned(4096)));
static char other_stack[STACK_SIZE] __attribute__((aligned(4096)));
static char trap_stack[2][STACK_SIZE] __attribute__((aligned(4096)));
static struct lowcore other_lowcore __attribute__((aligned(8192)));

static bool other_started;
static uint64_t clock_start;

static unsigned sigp(unsigned cpu, unsigned order, uint64_t parameter, uint32_t *status)
{
	register uint64_t r1 __asm__("1") = parameter; /* odd: parameter and status are one */
	unsigned cc;

	do {
		__asm__ volatile("sigp	%[r1],%[cpu],0(%[order])\n\t"
				 "ipm	%[cc]\n\t"
				 "srl	%[cc],28"
				 : [cc] "=d"(cc), [r1] "+d"(r1)
				 : [cpu] "d"(cpu), [order] "a"(order)
				 : "cc", "memory");
	} while (cc == 2); /* busy */
	if (status != NULL) {
		*status = cc == 1 ? (uint32_t)r1 : 0;
	}
	return cc;
}

static uint64_t facilities[4];

static void facilities_init(void)
{
	register uint64_t r0 __asm__("0") = sizeof(facilities) / sizeof(*facilities) - 1;

	__asm__ volatile("stfle	%0" : "=Q"(facilities), "+d"(r0) : : "cc");
}

bool facility(enum facility bit)
{
	return facilities[bit / 64] >> (63 - bit % 64) & 1;
}

static void control_init(void)
{
	uint64_t value = CR0_EMERGENCY_SIGNAL | CR0_CLOCK_COMPARATOR | CR0_SERVICE_SIGNAL;

	if (facility(FACILITY_EDAT1)) {
		value |= CR0_EDAT;
	}
	if (facility(FACILITY_IEP)) {
		value |= CR0_IEP;
	}
	__asm__ volatile("lctlg	0,0,%0" : : "Q"(value) : "memory");
}

/* lc: where the processor's lowcore is for the one that is running. */
static void lowcore_init(volatile struct lowcore *lc, uint16_t cpu)
{
	const struct {
		volatile struct psw *psw;
		void (*entry)(void);
	} entries[] = {
		{&lc->restart_new, start_other},
		{&lc->external_new, external_interruption},
		{&lc->svc_new, svc_interruption},
		{&lc->program_new, program_interruption},
		{&lc->machine_check_new, machine_check_interruption},
		{&lc->io_new, io_interruption},
	};

	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
		entries[i].psw->mask = PSW_64;
		entries[i].psw->addr = (uint64_t)(uintptr_t)entries[i].entry;
	}
	lc->resume_psw.mask = PSW_64;
	lc->wait_psw.mask = PSW_EXTERNAL | PSW_WAIT | PSW_64;
	lc->external_code = 0;
	lc->kicks = 0;
	lc->trap_stack = (uint64_t)(uintptr_t)trap_stack[cpu] + STACK_SIZE - STACK_FRAME;
	lc->cpu = cpu;
}

static void spaces_init(void)
{
	static struct machine_space spaces[] = {
		{"segment", &s2_fmt_s390, 0, 31, 64},  {"r3", &s2_fmt_s390, 0, 42, 64},
		{"r2", &s2_fmt_s390, 0, 53, 64},       {"r1", &s2_fmt_s390, 0, 64, 64},
		{"r3-small", &s2_fmt_s390, 0, 42, 64},
	};
	uint64_t basic = facility(FACILITY_IEP) ? S2_S390_IEP : 0;
	uint64_t edat = (facility(FACILITY_EDAT1) ? S2_S390_EDAT1 : 0) |
			(facility(FACILITY_EDAT2) ? S2_S390_EDAT2 : 0);

	machine.space = spaces;
	machine.space_count = sizeof(spaces) / sizeof(*spaces);
	for (size_t i = 0; i < machine.space_count; i++) {
		spaces[i].features = basic | edat;
	}
	/* The last one is for what older machines can do: small leaves, and CSPG. */
	spaces[machine.space_count - 1].features = basic;
	if (edat == 0) {
		machine.space_count--;
	}
}

void machine_init(void)
{
	lowcore_init(&lowcore, 0);
	facilities_init();
	control_init();
	clock_start = clock_now();
	console_init();
	spaces_init();
	machine.name = "s390";
	machine.ram = 0;
	machine.ram_size = sclp_memory_size();
	machine.fault_exact = false;
	machine.fault_permission = true;
	machine.mmu = &s390_mmu;
}

const char *machine_arguments(void)
{
	return (const char *)ARGUMENTS;
}

unsigned machine_cpu(void)
{
	return lowcore.cpu;
}

void cpu_entered(void)
{
	control_init();
	lowcore.entry();
	for (;;) {
		sigp(machine_cpu(), SIGP_STOP, 0, NULL);
	}
}

bool machine_cpu_start(void (*entry)(void))
{
	if (sigp(1, SIGP_SENSE, 0, NULL) == 3) {
		return false;
	}
	lowcore_init(&other_lowcore, 1);
	other_lowcore.stack = (uint64_t)(uintptr_t)other_stack + STACK_SIZE - STACK_FRAME;
	other_lowcore.entry = entry;
	other_started = sigp(1, SIGP_INITIAL_CPU_RESET, 0, NULL) == 0 &&
			sigp(1, SIGP_SET_PREFIX, (uintptr_t)&other_lowcore, NULL) == 0 &&
			sigp(1, SIGP_RESTART, 0, NULL) == 0;
	return other_started;
}

void wait(uint64_t microseconds)
{
	external_wait(clock_now() + microseconds * CLOCK_US);
	clock_comparator(CLOCK_NEVER);
	external_arrived();
}

/* Now and then it waits and does not spin: QEMU may have but one thread for both processors. */
void machine_relax(void)
{
	if (++lowcore.relaxed % RELAX_SPINS == 0) {
		wait(RELAX_US);
	} else {
		__asm__ volatile("diag	0,0,0x44" : : : "memory"); /* voluntary time-slice end */
	}
}

void machine_kick(void)
{
	sigp(1 - machine_cpu(), SIGP_EMERGENCY_SIGNAL, 0, NULL);
}

/* 512 units of the clock are 125 ns. With -icount shift=0 each instruction takes one. */
uint64_t machine_instructions(void)
{
	return ((clock_now() - clock_start) * 125 + 256) / 512;
}

/* As few instructions as can be: LLILL %r2,value; BR %r14. Caches are coherent. */
void machine_code(void *to, uint16_t value)
{
	uint16_t *code = to;

	code[0] = 0xa52f;
	code[1] = value;
	code[2] = 0x07fe;
}

enum s2_err machine_guest_open(struct s2_space *s, struct s2_gather *g)
{
	(void)s;
	(void)g;
	return S2_OK;
}

void machine_exit(unsigned code)
{
	struct psw end = {PSW_WAIT | PSW_64, EXIT_ADDRESS | code};
	uint32_t status;

	console_flush();
	/* QEMU ends when the last processor waits. */
	if (other_started) {
		sigp(1 - machine_cpu(), SIGP_STOP, 0, NULL);
		do {
			sigp(1 - machine_cpu(), SIGP_SENSE, 0, &status);
		} while (!(status & SIGP_STATUS_STOPPED));
	}
	__asm__ volatile("lpswe	%0" : : "Q"(end) : "memory");
	__builtin_unreachable();
}

/* An interruption of the hypervisor itself. */
void trap(unsigned kind)
{
	static const char *const names[] = {
		[TRAP_SVC] = "SVC",
		[TRAP_PROGRAM] = "program",
		[TRAP_EXTERNAL] = "external",
		[TRAP_MACHINE_CHECK] = "machine check",
		[TRAP_IO] = "I/O",
	};
	const volatile struct psw *old = kind == TRAP_SVC	? &lowcore.svc_old
					 : kind == TRAP_PROGRAM ? &lowcore.program_old
					 : kind == TRAP_IO	? &lowcore.io_old
								: &lowcore.machine_check_old;

	if (kind == TRAP_PROGRAM && uvc_trapped()) {
		return;
	}
	print("\n# cpu %u: %s interruption, program code %#llx, TEID %#llx\n", machine_cpu(),
	      names[kind], (unsigned long long)lowcore.program_code,
	      (unsigned long long)lowcore.teid);
	print("# psw %#llx %#llx\n", (unsigned long long)old->mask, (unsigned long long)old->addr);
	for (unsigned i = 0; i < 16; i++) {
		print("# r%u %#llx\n", i, (unsigned long long)lowcore.trap_regs[i]);
	}
	machine_exit(EXIT_TRAP);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's machine "virt": what it is, how it starts and ends. */
#include <stage2/arm64.h>

#include "machine_arm64.h"

#define RAM UINT64_C(0x40000000)
#define RAM_SIZE UINT64_C(0x10000000)
#define ARGUMENTS UINT64_C(0x40100000)

/* Semihosting for AArch64: HLT #0xf000 with the operation in x0, its parameters in x1. */
#define SYS_EXIT_EXTENDED UINT64_C(0x20)
#define ADP_STOPPED_APPLICATION_EXIT UINT64_C(0x20026)

/* Power State Coordination Interface (Arm DEN 0022), by SMC. */
#define PSCI_CPU_ON UINT64_C(0xc4000003)

/* PMU (D13.5, D13.7): event 0x08 counts instructions, at EL2 too. */
#define EVENT_INST_RETIRED UINT64_C(0x08)
#define PMEVTYPER_NSH (UINT64_C(1) << 27)
#define PMCR_N(pmcr) field(pmcr, 15, 11)
#define PMCR_E (UINT64_C(1) << 0)
#define PMCR_LP (UINT64_C(1) << 7) /* counters of 64 bits */

REGISTER(mpidr_el1);
REGISTER(id_aa64isar0_el1);
REGISTER(id_aa64mmfr0_el1);
REGISTER(id_aa64mmfr1_el1);
REGISTER(id_aa64mmfr2_el1);
REGISTER(mdcr_el2);
REGISTER(pmcr_el0);
REGISTER(pmcntenset_el0);
REGISTER(pmevtyper0_el0);
REGISTER(pmevcntr0_el0);
REGISTER(esr_el2);
REGISTER(elr_el2);
REGISTER(far_el2);

/* What most kinds of space use, as far as the processor has it. */
#define COMMON (S2_ARM64_FWB | S2_ARM64_VMID16)
#define FULL (COMMON | S2_ARM64_XNX | S2_ARM64_CONT | S2_ARM64_TLBIRANGE | S2_ARM64_TTL)

static const struct wanted {
	const char *name;
	uint64_t needs;	   /* not there without these */
	uint64_t features; /* as far as the processor has them */
	uint8_t gpa_bits;
} wanted[] = {
	{"plain", 0, COMMON, 40},
	{"nofwb", 0, 0, 40},
	{"cont", 0, FULL | S2_ARM64_CNP, 40},
	{"lpa2", S2_ARM64_LPA2, FULL, 52},
	{"hafdbs", S2_ARM64_HA, FULL | S2_ARM64_HD, 40},
	{"bbm1", S2_ARM64_BBM1, FULL, 40},
	{"bbm2", S2_ARM64_BBM2, FULL, 40},
};

#define WANTED_COUNT (sizeof(wanted) / sizeof(*wanted))

static struct machine_space spaces[WANTED_COUNT];

struct machine machine = {
	.name = "arm64",
	.space = spaces,
	.ram = RAM,
	.ram_size = RAM_SIZE,
	.fault_exact = true,
	.fault_permission = true,
	.flush_halves = true,
	.mmu = &arm64_mmu,
};
const struct test machine_tests[] = {{NULL, NULL, false}};

/* All that ID registers tell (D24.2.84, D24.2.88 to 90); CONT needs nothing. */
static uint64_t processor_features(void)
{
	uint64_t isar0 = read_id_aa64isar0_el1();
	uint64_t mmfr0 = read_id_aa64mmfr0_el1();
	uint64_t mmfr1 = read_id_aa64mmfr1_el1();
	uint64_t mmfr2 = read_id_aa64mmfr2_el1();
	uint64_t tgran4 = field(mmfr0, 31, 28);
	uint64_t tgran4_2 = field(mmfr0, 43, 40); /* 0: what TGran4 says */
	uint64_t out = S2_ARM64_CONT;

	out |= tgran4_2 == 3 || (tgran4_2 == 0 && tgran4 == 1) ? S2_ARM64_LPA2 : 0;
	out |= field(mmfr2, 43, 40) >= 1 ? S2_ARM64_FWB : 0;
	out |= field(mmfr1, 31, 28) >= 1 ? S2_ARM64_XNX : 0;
	out |= field(mmfr1, 3, 0) >= 1 ? S2_ARM64_HA : 0;
	out |= field(mmfr1, 3, 0) >= 2 ? S2_ARM64_HD : 0;
	out |= field(mmfr2, 55, 52) >= 1 ? S2_ARM64_BBM1 : 0;
	out |= field(mmfr2, 55, 52) >= 2 ? S2_ARM64_BBM2 : 0;
	out |= field(isar0, 59, 56) >= 2 ? S2_ARM64_TLBIRANGE : 0;
	out |= field(mmfr2, 51, 48) >= 1 ? S2_ARM64_TTL : 0;
	out |= field(mmfr1, 7, 4) >= 2 ? S2_ARM64_VMID16 : 0;
	out |= field(mmfr2, 3, 0) >= 1 ? S2_ARM64_CNP : 0;
	return out;
}

/* ID_AA64MMFR0_EL1.PARange. */
static uint8_t processor_address_bits(void)
{
	static const uint8_t bits[] = {32, 36, 40, 42, 44, 48, 52};
	uint64_t range = field(read_id_aa64mmfr0_el1(), 3, 0);

	return bits[range < sizeof(bits) ? range : sizeof(bits) - 1];
}

static uint8_t smaller(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

static void find_spaces(void)
{
	uint64_t has = processor_features();
	uint8_t bits = processor_address_bits();

	for (size_t i = 0; i < WANTED_COUNT; i++) {
		const struct wanted *w = &wanted[i];

		if ((w->needs & ~has) != 0) {
			continue;
		}
		spaces[machine.space_count++] = (struct machine_space){
			.name = w->name,
			.fmt = &s2_fmt_arm64,
			.features = w->needs | (w->features & has),
			.gpa_bits = smaller(bits, w->gpa_bits),
			.hpa_bits = smaller(bits, w->needs & S2_ARM64_LPA2 ? 52 : 48),
		};
	}
}

/* Counter 0; all counters are the hypervisor's and the guests' alike (MDCR_EL2.HPMN). */
static void count_instructions(void)
{
	write_mdcr_el2(PMCR_N(read_pmcr_el0()));
	write_pmevtyper0_el0(EVENT_INST_RETIRED | PMEVTYPER_NSH);
	write_pmevcntr0_el0(0);
	write_pmcntenset_el0(1);
	write_pmcr_el0(PMCR_E | PMCR_LP);
	DO("isb");
}

static void init_cpu(void)
{
	mmu_init_cpu();
	run_init_cpu();
	interrupt_init_cpu();
	count_instructions();
}

void machine_init(void)
{
	console_init();
	interrupt_init_machine();
	init_cpu();
	find_spaces();
}

const char *machine_arguments(void)
{
	return (const char *)(uintptr_t)ARGUMENTS;
}

void machine_exit(unsigned code)
{
	const uint64_t block[2] = {ADP_STOPPED_APPLICATION_EXIT, code};
	register uint64_t x0 __asm__("x0") = SYS_EXIT_EXTENDED;
	register const uint64_t *x1 __asm__("x1") = block;

	__asm__ volatile("hlt #0xf000" : "+r"(x0) : "r"(x1) : "memory");
	for (;;) {
		DO("wfi");
	}
}

unsigned machine_cpu(void)
{
	return (unsigned)field(read_mpidr_el1(), 7, 0);
}

void machine_relax(void)
{
	DO("yield");
}

void machine_other(void (*entry)(void))
{
	init_cpu();
	entry();
}

bool machine_cpu_start(void (*entry)(void))
{
	register uint64_t x0 __asm__("x0") = PSCI_CPU_ON;
	register uint64_t x1 __asm__("x1") = 1; /* its affinity */
	register uint64_t x2 __asm__("x2") = (uintptr_t)start_other;
	register uint64_t x3 __asm__("x3") = (uintptr_t)entry; /* what it finds in x0 */

	DO("dsb ish");
	__asm__ volatile("smc #0"
			 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
			 :
			 : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
			   "x15", "x16", "x17", "memory");
	return x0 == 0;
}

uint64_t machine_instructions(void)
{
	DO("isb");
	return read_pmevcntr0_el0();
}

enum s2_err machine_guest_open(struct s2_space *s, struct s2_gather *g)
{
	(void)s;
	(void)g;
	return S2_OK;
}

/* MOVZ W0, #value; RET. */
void machine_code(void *to, uint16_t value)
{
	uint32_t *code = to;

	code[0] = 0x52800000u | (uint32_t)value << 5;
	code[1] = 0xd65f03c0u;
	mmu_code_written(code, 2 * sizeof(*code));
}

/* vectors.S: an exception of our own. x is x0 to x30. */
_Noreturn void machine_exception(unsigned number, const uint64_t *x);

void machine_exception(unsigned number, const uint64_t *x)
{
	static const char *const name[] = {"synchronous", "IRQ", "FIQ", "SError"};

	print("# exception in the hypervisor, processor %u: %s\n", machine_cpu(), name[number]);
	print("# esr %#llx elr %#llx far %#llx\n", (unsigned long long)read_esr_el2(),
	      (unsigned long long)read_elr_el2(), (unsigned long long)read_far_el2());
	for (unsigned i = 0; i < 31; i++) {
		print("# x%u %#llx\n", i, (unsigned long long)x[i]);
	}
	machine_exit(4);
}

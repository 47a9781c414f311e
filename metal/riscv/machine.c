/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's "virt" machine: its devices, its memory, its two harts. */
#include "cpu.h"
#include "metal.h"

#define UART UINT64_C(0x10000000) /* an NS16550A, a register a byte */
#define UART_THR 0
#define UART_LSR 5
#define UART_LSR_THRE 0x20

#define FINISHER UINT64_C(0x100000) /* "sifive,test1": ends the emulator */
#define FINISHER_PASS 0x5555u
#define FINISHER_FAIL 0x3333u /* the exit code is in the upper half */

#define RAM UINT64_C(0x80000000)
#define RAM_SIZE (UINT64_C(256) << 20)
#define ARGUMENTS UINT64_C(0x80100000)

#define INTERRUPT_VS_SOFTWARE (1u << 2) /* "Hypervisor Interrupt (hvip, hip, and hie) Registers" */

#define RELAX_ROUNDS 64
#define RELAX_TICKS 500 /* 50 microseconds */

#define SSTATUS_FS (UINT64_C(3) << 13)
#define SSTATUS_SIE (UINT64_C(1) << 1)

_Static_assert(offsetof(struct cpu, hart) == CPU_HART, "cpu.h");
_Static_assert(offsetof(struct cpu, stack) == CPU_STACK, "cpu.h");
_Static_assert(offsetof(struct cpu, host) == CPU_HOST, "cpu.h");
_Static_assert(offsetof(struct cpu, guest) == CPU_GUEST, "cpu.h");
_Static_assert(sizeof(struct cpu) == CPU_SIZE, "cpu.h");

struct cpu cpus[CPU_MAX];
struct machine machine;
const struct test machine_tests[] = {{NULL, NULL, false}};
uint64_t device_tree; /* where the firmware has left it */

static char stack_second[STACK_SIZE] __attribute__((aligned(16)));
static void (*other_entry)(void);
static bool other_runs;

_Noreturn void other_main(void);
_Noreturn void host_trap(const uint64_t *registers);

/*
 * "Hypervisor Trap Delegation Registers": all of a guest's traps are ours, but for an interrupt that
 * is always pending for it and never taken, because vsstatus.SIE is 0. With that, WFI goes on at once
 * everywhere ("Wait for Interrupt"), and all it does is to give way to the other hart.
 */
static void cpu_init(void)
{
	CSR_CLEAR(sstatus, SSTATUS_SIE | SSTATUS_FS);
	CSR_WRITE(hedeleg, 0);
	CSR_WRITE(hideleg, INTERRUPT_VS_SOFTWARE);
	CSR_WRITE(hvip, INTERRUPT_VS_SOFTWARE);
	CSR_WRITE(vsatp, 0);
	CSR_WRITE(vsstatus, 0);
	CSR_WRITE(hgatp, 0);
	CSR_WRITE(sie, 1u << INTERRUPT_SOFTWARE | 1u << INTERRUPT_TIMER);
	CSR_WRITE(hie, INTERRUPT_VS_SOFTWARE);
	fence_all();
}

void machine_init(void)
{
	cpu_init();
	machine.name = "riscv64";
	machine.ram = RAM;
	machine.ram_size = RAM_SIZE;
	/* The firmware may read it again when it starts the second hart. */
	if (device_tree > ARGUMENTS && device_tree < RAM + RAM_SIZE) {
		machine.ram_size = device_tree - RAM;
	}
	machine.fault_exact = true;
	machine.mmu = &riscv_mmu;
	probe_spaces();
}

void machine_putc(char c)
{
	volatile uint8_t *uart = (volatile uint8_t *)UART;

	while (!(uart[UART_LSR] & UART_LSR_THRE)) {
	}
	uart[UART_THR] = (uint8_t)c;
}

const char *machine_arguments(void)
{
	return (const char *)ARGUMENTS;
}

_Noreturn void machine_exit(unsigned code)
{
	*(volatile uint32_t *)FINISHER = code == 0 ? FINISHER_PASS : code << 16 | FINISHER_FAIL;
	for (;;) {
		__asm__ volatile("wfi");
	}
}

unsigned machine_cpu(void)
{
	return (unsigned)(cpu_this() - cpus);
}

struct cpu *cpu_other(void)
{
	return __atomic_load_n(&other_runs, __ATOMIC_ACQUIRE) ? &cpus[!machine_cpu()] : NULL;
}

_Noreturn void other_main(void)
{
	cpu_init();
	__atomic_store_n(&other_runs, true, __ATOMIC_RELEASE);
	other_entry();
	for (;;) {
		machine_relax();
	}
}

bool machine_cpu_start(void (*entry)(void))
{
	uint64_t hart = cpus[0].hart ^ 1;

	other_entry = entry;
	cpus[1].stack = stack_second + STACK_SIZE;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!sbi_start(hart, start_other, &cpus[1])) {
		return false;
	}
	while (!cpu_other()) {
		machine_relax();
	}
	return true;
}

/* Now and then sleeps a little: a hart that only waits would hold the emulator up. */
void machine_relax(void)
{
	if (++cpu_this()->relaxed % RELAX_ROUNDS == 0) {
		sbi_timer(CSR_READ(time) + RELAX_TICKS);
		CSR_CLEAR(hie, INTERRUPT_VS_SOFTWARE);
		__asm__ volatile("wfi");
		CSR_SET(hie, INTERRUPT_VS_SOFTWARE);
	}
	__asm__ volatile("" ::: "memory");
}

void machine_kick(void)
{
	struct cpu *other = cpu_other();

	if (other) {
		sbi_kick(other->hart);
	}
}

uint64_t machine_instructions(void)
{
	return CSR_READ(instret);
}

enum s2_err machine_guest_open(struct s2_space *s, struct s2_gather *g)
{
	(void)s;
	(void)g;
	return S2_OK;
}

/* The hypervisor itself has trapped. registers: pc, x1 to x31. */
_Noreturn void host_trap(const uint64_t *registers)
{
	print("trap in the hypervisor, processor %u: scause %llx stval %llx htval %llx\n",
	      machine_cpu(), (unsigned long long)CSR_READ(scause),
	      (unsigned long long)CSR_READ(stval), (unsigned long long)CSR_READ(htval));
	for (unsigned i = 0; i < 32; i++) {
		print("%s%u %016llx%c", i ? "x" : "pc ", i, (unsigned long long)registers[i],
		      i % 4 == 3 ? '\n' : ' ');
	}
	machine_exit(4);
}

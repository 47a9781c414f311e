/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end. SVM has no instruction that forgets nested translations: the VMRUN that enters the
 * guest does it, on its own processor, if TLB_CONTROL says so (APM 15.16). A flush is therefore a
 * request to each processor, which takes it before it enters that ASID again; one that is in there
 * is brought out by an interrupt, and the flush waits for it.
 */
#include "../metal.h"
#include "cpu.h"

#define SVM_FLUSH_BY_ASID (UINT32_C(1) << 6) /* CPUID Fn8000_000A_EDX */

#ifdef METAL_MUTANTS
bool machine_flush_local;
bool machine_flush_half; /* there is one part only */
#define FLUSH_LOCAL machine_flush_local
#else
#define FLUSH_LOCAL false
#endif

static enum s2_npt_tlb_control flush_guest;
static uint64_t flushes;

void mmu_init(void)
{
	flush_guest = s2_npt_flush(cpuid(0x8000000a).edx & SVM_FLUSH_BY_ASID);
}

/*
 * A flush counts when it is asked for: one for the next VMRUN, which would have come anyway, and one
 * for the VMRUN that follows the interrupt of the other processor.
 */
uint64_t machine_flushes(void)
{
	return __atomic_load_n(&flushes, __ATOMIC_RELAXED);
}

static void count_flush(void)
{
	__atomic_fetch_add(&flushes, 1, __ATOMIC_RELAXED);
}

/*
 * The flush that VMRUN does comes before the guest's first instruction, so that it is as good as done.
 *
 * in_guest is set before wanted is read, here, and wanted is raised before in_guest is read, in
 * mmu_flush(): one of the two sees the other. From then on a kick ends the guest's run, because CLGI
 * holds it back up to VMRUN.
 */
void mmu_enter(struct cpu *cpu)
{
	unsigned asid = cpu->guest.asid;
	uint64_t wanted;

	__atomic_store_n(&cpu->in_guest, asid, __ATOMIC_SEQ_CST);
	wanted = __atomic_load_n(&cpu->wanted[asid], __ATOMIC_SEQ_CST);
	cpu->guest.tlb_control = S2_NPT_TLB_KEEP;
	if (cpu->forget) {
		cpu->guest.tlb_control = S2_NPT_TLB_FLUSH_ALL;
	} else if (cpu->done[asid] != wanted) {
		cpu->guest.tlb_control = flush_guest;
	}
	cpu->forget = false;
	__atomic_store_n(&cpu->done[asid], wanted, __ATOMIC_RELEASE);
}

void mmu_leave(struct cpu *cpu)
{
	__atomic_store_n(&cpu->in_guest, 0, __ATOMIC_RELEASE);
}

static bool mmu_is_done(const struct cpu *cpu, unsigned asid, uint64_t wanted)
{
	return __atomic_load_n(&cpu->in_guest, __ATOMIC_SEQ_CST) != asid ||
	       __atomic_load_n(&cpu->done[asid], __ATOMIC_ACQUIRE) >= wanted;
}

/* By ASID, whatever the ranges: there is nothing smaller. */
static void mmu_flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	unsigned asid = ((const struct world *)cookie)->id;
	struct cpu *this = cpu_this();
	struct cpu *other = &cpus[!this->number];
	uint64_t wanted;

	(void)flush;
	(void)count;
	__atomic_add_fetch(&this->wanted[asid], 1, __ATOMIC_SEQ_CST);
	count_flush();
	if (FLUSH_LOCAL) {
		return;
	}
	wanted = __atomic_add_fetch(&other->wanted[asid], 1, __ATOMIC_SEQ_CST);
	if (mmu_is_done(other, asid, wanted)) {
		return;
	}
	apic_kick_other();
	count_flush();
	while (!mmu_is_done(other, asid, wanted)) {
		machine_relax();
	}
}

static void mmu_relax(void *cookie)
{
	(void)cookie;
	machine_relax();
}

const struct s2_mmu mmu_npt = {
	.flush = mmu_flush,
	.relax = mmu_relax,
	.flush_max = 0,
};

/* One page of the guest's own, by its linear address: what INVLPG means to it. */
void mmu_invlpga(uint64_t linear, uint32_t asid)
{
	struct s2_invlpga operand = s2_npt_invlpga(linear, asid);

	__asm__ volatile("invlpga %%rax, %%ecx" : : "a"(operand.rax), "c"(operand.ecx) : "memory");
	count_flush();
}

void machine_forget(void)
{
	cpu_this()->forget = true;
	count_flush();
}

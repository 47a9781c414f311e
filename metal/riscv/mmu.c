/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end: this hart by its own instructions, the other by the firmware. */
#include "cpu.h"
#include "metal.h"

bool has_vmids;
static uint64_t flushes;

#ifdef METAL_MUTANTS
bool machine_flush_local;
bool machine_flush_half;
#endif

static void count(void)
{
	__atomic_fetch_add(&flushes, 1, __ATOMIC_RELAXED);
}

uint64_t machine_flushes(void)
{
	return __atomic_load_n(&flushes, __ATOMIC_RELAXED);
}

static void fence(void *cookie, enum s2_riscv_op op, uint64_t rs1, uint64_t rs2)
{
	(void)cookie;
	switch (op) {
	case S2_RISCV_HFENCE_GVMA:
		INSTRUCTION("h", "hfence.gvma %0, %1", "r"(rs1), "r"(rs2));
		count();
		break;
	case S2_RISCV_HFENCE_GVMA_ALL:
		INSTRUCTION("h", "hfence.gvma zero, %0", "r"(rs2));
		count();
		break;
	case S2_RISCV_SFENCE_W_INVAL:
		INSTRUCTION("svinval", "sfence.w.inval", );
		break;
	case S2_RISCV_HINVAL_GVMA:
		INSTRUCTION("h, +svinval", "hinval.gvma %0, %1", "r"(rs1), "r"(rs2));
		count();
		break;
	case S2_RISCV_SFENCE_INVAL_IR:
		INSTRUCTION("svinval", "sfence.inval.ir", );
		break;
	}
}

static void fence_remote(uint64_t hart, const struct s2_flush *flush, uint16_t vmid)
{
	struct s2_riscv_sbi sbi = s2_riscv_sbi(flush, vmid);

	sbi.fid = has_vmids ? sbi.fid : S2_RISCV_SBI_HFENCE_GVMA;
	MUST(sbi_fence(hart, &sbi));
	count();
}

/* The other hart, if it has run such a guest since it last forgot all. */
static struct cpu *other_with(uint64_t vmids)
{
	struct cpu *other = cpu_other();

	return other && (__atomic_load_n(&other->vmids, __ATOMIC_RELAXED) & vmids) ? other : NULL;
}

static void flush(void *cookie, const struct s2_flush *list, size_t list_count)
{
	const struct world *world = cookie;
	uint16_t vmid = (uint16_t)world->id;
	struct cpu *other;

	/* The stores to the tables come before the other hart's fence, and before the look at it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	other = other_with(UINT64_C(1) << vmid);
#ifdef METAL_MUTANTS
	other = machine_flush_local ? NULL : other;
#endif
	s2_riscv_hfence(world->kind->features, list, list_count, vmid, fence, NULL);
	for (size_t i = 0; other && i < list_count; i++) {
		fence_remote(other->hart, &list[i], vmid);
	}
}

/* "Zifencei": FENCE.I is for the hart that executes it. One without a guest has its own in machine_load(). */
void fence_code(void)
{
	struct cpu *other;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__asm__ volatile("fence.i" ::: "memory");
	other = other_with(UINT64_MAX);
	if (other) {
		MUST(sbi_fence_code(other->hart));
	}
}

static void invalidate_code(void *cookie, s2_hpa_t hpa, uint64_t len)
{
	(void)cookie;
	(void)hpa;
	(void)len;
	fence_code();
}

static void relax(void *cookie)
{
	(void)cookie;
	machine_relax();
}

void fence_all(void)
{
	INSTRUCTION("h", "hfence.gvma\n\thfence.vvma", );
}

/* What hgatp points at may be walked at any time, and so is not forgotten. */
void machine_forget(void)
{
	struct cpu *cpu = cpu_this();

	fence_all();
	__atomic_store_n(&cpu->vmids, cpu->loaded, __ATOMIC_SEQ_CST);
}

void machine_load(const struct s2_space *s, unsigned id)
{
	struct cpu *cpu = cpu_this();

	/* Seen by other harts before the first walk. */
	cpu->loaded = s ? UINT64_C(1) << id : 0;
	__atomic_fetch_or(&cpu->vmids, cpu->loaded, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	CSR_WRITE(hgatp, s ? s2_riscv_hgatp(s, (uint16_t)id) : 0);
	__asm__ volatile("fence.i" ::: "memory");
}

const struct s2_mmu riscv_mmu = {
	.flush = flush,
	.invalidate_code = invalidate_code,
	.relax = relax,
	.flush_max = S2_RISCV_FLUSH_MAX,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end: the instructions; arch/s390 builds their operands. PoP chapter 10. All of them
 * reach every processor, and have done so when they end.
 */
#include "s390.h"

#define PTE_INVALID UINT64_C(0x400)
#define PTE_PROTECTED UINT64_C(0x200)
#define PTE_SOFTWARE UINT64_C(0xff)

#define IPTE_DONE 255u /* last byte of R3 */

static uint64_t flushes;

/* The image with mutants can purge this processor's TLB only: M4 is 1. */
#ifdef METAL_MUTANTS
bool machine_flush_local, machine_flush_half;
#define LOCAL machine_flush_local
#else
#define LOCAL false
#endif

/* An instruction whose last operand is M4. */
#define PURGE(instruction, ...)                                        \
	do {                                                           \
		if (LOCAL) {                                           \
			__asm__ volatile(instruction "1" __VA_ARGS__); \
		} else {                                               \
			__asm__ volatile(instruction "0" __VA_ARGS__); \
		}                                                      \
		counted();                                             \
	} while (0)

static void counted(void)
{
	__atomic_fetch_add(&flushes, 1, __ATOMIC_RELAXED);
}

uint64_t machine_flushes(void)
{
	return __atomic_load_n(&flushes, __ATOMIC_RELAXED);
}

static uint64_t asce_of(const struct world *w)
{
	return s2_s390_asce(s2_space_root(&w->space), w->space.top);
}

static void ipte(const struct s2_s390_regs *r)
{
	PURGE("ipte	%0,%1,0,", : : "a"(r->r1[0]), "a"(r->r2[0]) : "memory");
}

static void ipte_range(const struct s2_s390_regs *r)
{
	uint64_t at = r->r2[0], left = r->r3;

	do {
		PURGE("ipte	%2,%0,%1,", : "+a"(at), "+a"(left) : "a"(r->r1[0]) : "memory");
	} while ((left & 0xff) != IPTE_DONE);
}

static void idte(const struct s2_s390_regs *r)
{
	PURGE("idte	%0,%1,%2,", : : "a"(r->r1[0]), "a"(r->r3), "a"(r->r2[0]) : "memory");
}

static void rdp(const struct s2_s390_regs *r)
{
	PURGE(".insn	rrf,0xb98b0000,%0,%1,%2,",
	      :
	      : "a"(r->r1[0]), "a"(r->r2[0]), "a"(r->r3)
	      : "memory");
}

static bool crdte(const struct s2_s390_regs *r)
{
	register uint64_t old __asm__("2") = r->r1[0];
	register uint64_t new_value __asm__("3") = r->r1[1];
	register uint64_t table __asm__("4") = r->r2[0];
	register uint64_t at __asm__("5") = r->r2[1];

	PURGE(".insn	rrf,0xb98f0000,%0,%2,%4,",
	      : "+d"(old)
	      : "d"(new_value), "d"(table), "d"(at), "a"(r->r3)
	      : "cc", "memory");
	return old == r->r1[0];
}

/* Has no form for one processor. */
static bool cspg(const struct s2_s390_regs *r)
{
	register uint64_t old __asm__("2") = r->r1[0];
	register uint64_t new_value __asm__("3") = r->r1[1];

	__asm__ volatile("cspg	%0,%2"
			 : "+d"(old)
			 : "d"(new_value), "a"(r->r2[0])
			 : "cc", "memory");
	counted();
	return old == r->r1[0];
}

static bool csg(const struct s2_place *place, uint64_t old, uint64_t new_value)
{
	return __atomic_compare_exchange_n(place->item, &old, new_value, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

void mmu_forget(void)
{
	__asm__ volatile("ptlb" : : : "memory");
	counted();
}

/* What can be forgotten without an item that becomes invalid is a whole space. */
static void flush(void *cookie, const struct s2_flush *flushes_owed, size_t count)
{
	struct s2_s390_regs regs;

	(void)flushes_owed;
	(void)count;
	s2_s390_idte_space(asce_of(cookie), &regs);
	idte(&regs);
}

static size_t invalidate_some(uint64_t asce, const struct s2_place *place, size_t count)
{
	bool range = facility(FACILITY_IPTE_RANGE);
	struct s2_s390_regs regs;
	size_t done;

	if (place->level > 0) {
		done = s2_s390_idte(place, count, asce, &regs);
		idte(&regs);
		return done;
	}
	done = s2_s390_ipte(place, count, range, &regs);
	if (range) {
		ipte_range(&regs);
	} else {
		ipte(&regs);
	}
	return done;
}

static void invalidate(void *cookie, const struct s2_place *place, size_t count)
{
	uint64_t asce = asce_of(cookie);
	struct s2_place at = *place;

	while (count > 0) {
		size_t done = invalidate_some(asce, &at, count);

		at.gpa.val += (uint64_t)done << at.lg2;
		at.item += done;
		at.index += (uint32_t)done;
		count -= done;
	}
}

/* All that the machine sees of the change is that a valid page is protected no longer. */
static bool unprotects(const struct s2_place *place, uint64_t old, uint64_t new_value)
{
	return place->level == 0 && !(old & PTE_INVALID) && (old & PTE_PROTECTED) &&
	       ((old ^ new_value) & ~PTE_SOFTWARE) == PTE_PROTECTED && facility(FACILITY_RDP);
}

static bool replace(void *cookie, const struct s2_place *place, uint64_t old, uint64_t new_value)
{
	const struct world *w = cookie;
	uint64_t asce = asce_of(w);
	struct s2_s390_regs regs;

	if (unprotects(place, old, new_value)) {
		/* What is software's may be stored: it is not cached. */
		if (!csg(place, old, new_value | PTE_PROTECTED)) {
			return false;
		}
		s2_s390_rdp(place, asce, &regs);
		rdp(&regs);
		return true;
	}
	switch (s2_s390_way(old, place->level, w->space.config.features)) {
	case S2_S390_WAY_CRDTE:
		s2_s390_crdte(place, old, new_value, asce, &regs);
		return crdte(&regs);
	case S2_S390_WAY_CSPG:
		s2_s390_cspg(place, old, new_value, &regs);
		return cspg(&regs);
	case S2_S390_WAY_CSG:
	default:
		return csg(place, old, new_value);
	}
}

static void relax(void *cookie)
{
	(void)cookie;
	machine_relax();
}

const struct s2_mmu s390_mmu = {
	.flush = flush,
	.invalidate = invalidate,
	.replace = replace,
	.relax = relax,
};

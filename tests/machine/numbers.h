/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inline calls with numbers that are known at compile time: those of the space, of other formats
 * and of other depths. All must do the same.
 */
#ifndef TESTS_MACHINE_NUMBERS_H
#define TESTS_MACHINE_NUMBERS_H

#include <stage2/arm64.h>
#include <stage2/riscv.h>
#include <stage2/s390.h>
#include <stage2/x86.h>

#define NUMBERS(X)              \
	X(0, S2_ARM64_WALK(21)) \
	X(1, S2_ARM64_WALK(30)) \
	X(2, S2_ARM64_WALK(39)) \
	X(3, S2_RISCV_WALK(30)) \
	X(4, S2_RISCV_WALK(39)) \
	X(5, S2_RISCV_WALK(48)) \
	X(6, S2_EPT_WALK(39))   \
	X(7, S2_EPT_WALK(48))   \
	X(8, S2_NPT_WALK(39))   \
	X(9, S2_NPT_WALK(48))   \
	X(10, S2_S390_WALK(20)) \
	X(11, S2_S390_WALK(31)) \
	X(12, S2_S390_WALK(42)) \
	X(13, S2_S390_WALK(53))

#define NUMBERS_COUNT 14u

#define NUMBERS_STATIC(i, numbers) static const struct s2_walk numbers_##i = numbers;
NUMBERS(NUMBERS_STATIC)

/* As s2_lookup(): all of them, and they must agree. False: they do not. */
#define NUMBERS_LOOKUP(i, numbers)                                          \
	other = s2_hpa(~UINT64_C(1));                                       \
	same = same && s2_lookup_as(s, &numbers_##i, gpa, &other) == err && \
	       other.val == (err == S2_OK ? first.val : ~UINT64_C(1));

static inline bool numbers_agree(const struct s2_space *s, s2_gpa_t gpa)
{
	s2_hpa_t first = s2_hpa(0);
	s2_hpa_t other;
	enum s2_err err = s2_lookup(s, gpa, &first);
	bool same = true;

	NUMBERS(NUMBERS_LOOKUP)
	return same;
}

/* s2_map_page() or s2_map_run(), with the numbers that which says, or those of the space. */
#define NUMBERS_MAP(i, numbers)                                                                 \
	case i:                                                                                 \
		return page ? s2_map_page_as(s, &numbers_##i, run->gpa, run->hpa, prot, mem, g) \
			    : s2_map_run_as(s, &numbers_##i, run, prot, mem, g);

static inline enum s2_err numbers_map(struct s2_space *s, unsigned which, bool page,
				      const struct s2_run *run, unsigned prot, enum s2_mem mem,
				      struct s2_gather *g)
{
	switch (which) {
		NUMBERS(NUMBERS_MAP)
	default:
		return page ? s2_map_page(s, run->gpa, run->hpa, prot, mem, g)
			    : s2_map_run(s, run, prot, mem, g);
	}
}

/* Which numbers are those of the space; NUMBERS_COUNT: none. */
#define NUMBERS_OWN(i, numbers) own = numbers_##i.shape == s->walk.shape ? i : own;

static inline unsigned numbers_own(const struct s2_space *s)
{
	unsigned own = NUMBERS_COUNT;

	NUMBERS(NUMBERS_OWN)
	return own;
}

#endif

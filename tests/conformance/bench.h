/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bench: one machine, one space on it and one gather, and what is checked after every step of
 * every test. Tests are for all machines of tests/machine alike: what differs between formats is
 * asked of the variant, and what the tables say of the machine's own walker.
 */
#ifndef TESTS_CONFORMANCE_BENCH_H
#define TESTS_CONFORMANCE_BENCH_H

#include <check.h>
#include <inttypes.h>

#include "machine/machine.h"

#define SIZE_MAX_COUNT 12u
#define WALK_CACHE_WORDS 16u
#define RUN_MAX (UINT64_C(1) << (S2_PAGE_LG2 + S2_FOLIO_ORDER_MAX)) /* bytes */

struct bench {
	const struct machine_variant *v;
	struct machine m;
	struct s2_config config;
	struct s2_space s __attribute__((aligned(4096))); /* in pages of its own: space_freeze() */
	struct s2_gather g __attribute__((aligned(4096)));
	uint64_t *walk_cache[WALK_CACHE_WORDS];
	/* Sizes of leaves, in log2, from small to large. */
	uint8_t size[SIZE_MAX_COUNT];
	unsigned size_count;
	unsigned large; /* those that a run can be, and that the spaces have room for four times */
	uint64_t last;	/* of the guest's address space */
	uint64_t home;	/* its middle: a boundary of leaves of all sizes */
	unsigned settled;     /* times */
	bool marks_dirty;     /* the machine, by itself */
	struct s2_range step; /* see deed.h */
};

extern struct bench b;

/*
 * Which machines: S2_VARIANTS is unset (all), "few" (the first and the last of each format), "last",
 * or part of a name. They are tested format by format: this is how many formats there are.
 */
int bench_formats(void);

/*
 * Calls test for each machine of a format. Numbers that are past those of bench_formats() are of the same
 * formats again, with a back end that does no more than flush.
 */
void bench_each(int format, void (*test)(int choice));

/* Starts with an empty space; change may be NULL, and may change config before it is used. */
void bench_start(int choice, void (*change)(struct s2_config *config));
void bench_finish(void);

/* A test that calls bench_start(choice, ...) itself. */
#define ON_EVERY_CHOICE(name)                \
	static void name##_with(int choice); \
	START_TEST(name)                     \
	{                                    \
		bench_each(_i, name##_with); \
	}                                    \
	END_TEST                             \
	static void name##_with(int choice)

/* A test in an empty space. */
#define ON_EVERY_MACHINE(name)             \
	static void name##_on(void);       \
	ON_EVERY_CHOICE(name)              \
	{                                  \
		bench_start(choice, NULL); \
		name##_on();               \
		bench_finish();            \
	}                                  \
	static void name##_on(void)

/* Adds such a test to a TCase; for whole back ends, for both kinds, or for those that only flush. */
#define ADD(tcase, name) tcase_add_loop_test(tcase, name, 0, bench_formats())
#define ADD_TWICE(tcase, name) tcase_add_loop_test(tcase, name, 0, 2 * bench_formats())
#define ADD_BARE(tcase, name) tcase_add_loop_test(tcase, name, bench_formats(), 2 * bench_formats())

/* Not by ck_assert_msg(): Check writes to a file for each of those, and there are millions here. */
#define must(cond)                                                    \
	do {                                                          \
		if (!(cond)) {                                        \
			ck_abort_msg("%s: not %s", b.v->name, #cond); \
		}                                                     \
	} while (0)

#define must_eq(is, wanted)                                                                        \
	do {                                                                                       \
		uint64_t is_ = (uint64_t)(is);                                                     \
		uint64_t wanted_ = (uint64_t)(wanted);                                             \
		if (is_ != wanted_) {                                                              \
			ck_abort_msg("%s: %s is %#" PRIx64 ", not %#" PRIx64, b.v->name, #is, is_, \
				     wanted_);                                                     \
		}                                                                                  \
	} while (0)

#define must_err(call, wanted)                                                       \
	do {                                                                         \
		enum s2_err err_ = (call);                                           \
		enum s2_err wanted_ = (wanted);                                      \
		if (err_ != wanted_) {                                               \
			ck_abort_msg("%s: %s: \"%s\", not \"%s\"", b.v->name, #call, \
				     s2_strerror(err_), s2_strerror(wanted_));       \
		}                                                                    \
	} while (0)

#define must_do(call) must_err(call, S2_OK)

/* Bytes of the leaf size with this number; log2 of it. */
static inline uint64_t size_at(unsigned k)
{
	return UINT64_C(1) << b.size[k];
}

/* The largest size that tests use where any large one will do; S2_PAGE_SIZE if there is no other. */
static inline uint64_t large_size(void)
{
	return size_at(b.large - 1);
}

bool size_is_group(unsigned k);

static inline struct s2_range range_at(uint64_t gpa, uint64_t len)
{
	return s2_range(s2_gpa(gpa), len);
}

static inline struct s2_range whole_space(void)
{
	return s2_space_range(&b.s);
}

/* The n-th piece of host memory of this size; with little memory they come again. Size at most 3/4. */
uint64_t hpa_at(uint64_t size, unsigned n);

/* Runs, in as many folios as it takes. The first one that fails decides. */
enum s2_err try_map(uint64_t gpa, uint64_t hpa, uint64_t len, unsigned prot, enum s2_mem mem);

/* Normal memory, all rights; cannot fail. */
void map(uint64_t gpa, uint64_t hpa, uint64_t len);

/* The same, as leaves of the size with this number at most. */
void map_as(uint64_t gpa, uint64_t hpa, uint64_t len, unsigned k);

/* Syncs, too: what was unmapped may be mapped anew at once. */
void unmap(uint64_t gpa, uint64_t len);

/* Syncs; no table but the root is left then. */
void unmap_all(void);

/* The TLB knows what the range is now, at its ends and around them. */
void load(uint64_t gpa, uint64_t len);

/* Syncs; then all that must hold at all times, for the library, the tables and the machine. */
void settle(void);

/*
 * Whoever writes to the space from here on dies of it, until it is thawed. Threads share it, and calls do
 * no more than read it: what they have to tell is in their gather until the sync.
 */
void space_freeze(void);
void space_thaw(void);

/* Fails the test if the machine has seen anything that is not right. */
void check_machine(void);

/* By the walker: what this byte translates to. */
void expect_at(uint64_t gpa, uint64_t hpa);
void expect_hole(uint64_t gpa);

/* By the walker: the leaf around this byte has this size. */
void expect_size(uint64_t gpa, uint64_t size);

/* By the walker, in the last settle(): leaves in the space, those of this size, tables. */
uint64_t leaves(void);
uint64_t leaves_of(uint64_t size);
uint64_t tables(void);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The test cases, a file each, and what they share. */
#ifndef TESTS_TRANSITION_CASES_H
#define TESTS_TRANSITION_CASES_H

#include "world.h"

TCase *case_round(void);
TCase *case_holes(void);
TCase *case_matrix(void);
TCase *case_bad(void);
TCase *case_steps(void);
TCase *case_model(void);

/* S2_VARIANTS=few: one machine of each format in all tests, as other suites have it. */
bool only_few(void);

/* Calls test in a fresh world of each kind: of one machine, or of all of the format. */
void in_each_world(bool few, void (*test)(void));

/* A test that runs in each world of one machine; of all machines. */
#define IN_WORLDS(name, few)                         \
	static void name##_in_world(void);           \
	START_TEST(name)                             \
	{                                            \
		in_each_world(few, name##_in_world); \
	}                                            \
	END_TEST                                     \
	static void name##_in_world(void)

/* Requests worth making: where, in which of the layout's folios. */
struct spot {
	unsigned start;
	unsigned count;
};

#define SPOT_COUNT 7u
extern const struct spot spots[SPOT_COUNT];

#define GRAIN_COUNT 5u
extern const uint64_t grains[GRAIN_COUNT];

/* Where moves start from, and how pages get there. */
void prepare(enum s2_move move, unsigned start, unsigned count);

/* All pages at rest are SECURE again, with contents; false if that cannot be: a new world is due. */
bool restore(void);
void restore_or_restart(void);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The tracker that the tests of test_track*.c share, and shorthands for it. */
#ifndef TESTS_UNIT_TRACK_H
#define TESTS_UNIT_TRACK_H

#include <check.h>
#include <string.h>

#include "test_env.h"
#include "test_track.h"
#include <stage2/track.h>

/* Neither end on a chunk: half a chunk, two whole ones, a quarter. */
#define BASE (CHUNK * 7 + 256)
#define COUNT (256 + 2 * CHUNK + 128)
#define WHOLE pages(BASE, COUNT)
/* The first whole chunk. */
#define C1 (CHUNK * 8)

/* One GiB. */
#define REGION (CHUNK * 512)

extern struct test_env env;
extern struct s2_track t; /* WHOLE */
extern size_t memory;	  /* bytes that are allocated */

/* These must succeed. */
void move(uint64_t start, uint64_t count, enum s2_move kind, bool widened);
void begin(uint64_t start, uint64_t count, enum s2_move kind, bool widened);

void expect(uint64_t page, enum s2_state state, bool moving, bool widened);

void add_steps(TCase *tcase);	  /* test_track_steps.c */
void add_maps(TCase *tcase);	  /* test_track_maps.c */
void add_questions(TCase *tcase); /* test_track_ask.c */

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An engine with all that belongs to it, for the tests of jobs and views: a guest's view by gpa and a
 * host's by hpa, a machine that remembers translations until it is told to forget them, a back end that
 * stops where it is told to, memory that runs out on demand.
 *
 * The back end is where a wrong order shows: each time it is called, and after each call of the library,
 * what the views allow and what the machine may still use are held against the states of all pages.
 */
#ifndef TESTS_UNIT_ENGINE_H
#define TESTS_UNIT_ENGINE_H

#include <check.h>
#include <string.h>

#include "test_env.h"
#include "test_track.h"
#include <stage2/convert.h>
#include <stage2/fmt.h>
#include <stage2/mark.h>

#define PAGE_MAX 2048u
#define FIRST (CHUNK * 8) /* page number, gpa */
#define HPA_FIRST UINT64_C(0x100000)
#define SMALL 16u /* pages of a small folio */
#define SMALL_ORDER 4u
#define K16 UINT64_C(0x4000)
#define K64 UINT64_C(0x10000)
#define M2 UINT64_C(0x200000)

/* Two processors' worth of trouble: what may be cached of a page, by one of the two parties. */
/* ck_assert writes a file each time: not for what is looked at page by page. */
#define EXPECT_PAGE(is_right, i)                                      \
	do {                                                          \
		if (!(is_right)) {                                    \
			ck_abort_msg("page %u: not " #is_right, (i)); \
		}                                                     \
	} while (false)

struct party {
	struct s2_space space;
	struct s2_view view;
	bool by_hpa;
	struct s2_leaf leaf;	    /* the last one that a check looked at */
	unsigned may_use[PAGE_MAX]; /* rights in tables now, or cached */
};

struct engine_world {
	struct test_env env;
	struct s2_track track;
	struct s2_run runs[80];
	size_t run_count;
	unsigned page_count;
	struct s2_pins pins;
	struct s2_engine engine;
	struct party guest;
	struct party host;
	unsigned char from[PAGE_MAX]; /* enum s2_state: what a page was before it began to move */
	bool slack;		      /* a view may show less than it is to: there was no memory */

	/* The back end. */
	struct s2_backend backend;
	unsigned call_count;
	unsigned confirmed; /* pages, by all calls */
	unsigned stop_at;   /* the call, from 1; 0: none */
	struct s2_answer stop;
	uint64_t stopped_len; /* what that call was about */
	enum s2_move move;    /* of the job that is being resumed */
};

extern struct engine_world w;

/* Which folios there are. */
enum world_shape {
	SHAPE_SMALL, /* four of 64K */
	SHAPE_LARGE, /* one of 2M, one of 4M, four of 64K */
};

struct world_config {
	const struct s2_fmt *fmt;
	uint64_t features;
	enum world_shape shape;
	enum s2_rejoin rejoin;
	bool equal_rights; /* the guest may do the same with what is shared and what is secure */
};

/* All pages NONE, all of the host's mapped in its view. */
void world_start(const struct world_config *config);

/* Frees all, and fails the test if something is left. */
void world_finish(void);

/* Every page: rights in both views against the state; caches too. Counters of the tracker. */
void world_check(void);

/* Must succeed. */
void world_move(enum s2_move move, uint64_t start, uint64_t count);

struct s2_request world_request(enum s2_move move, uint64_t start, uint64_t count, uint64_t grain,
				enum s2_policy policy);

/* s2_convert_start() and so on, with a check behind, and inside of all calls of the back end. */
enum s2_err world_begin(const struct s2_request *request, struct s2_job *job);
enum s2_err world_resume(struct s2_job *job);
enum s2_err world_back(struct s2_job *job);
enum s2_err world_stop(struct s2_job *job);
enum s2_err world_poison(uint64_t start, uint64_t count);

/* Leaves of 2^lg2 bytes in a party's tables. */
uint64_t world_leaves(const struct party *party, unsigned lg2);

/* Allocations that are neither in use by the tracker nor by the pins nor spare: tables in use. */
size_t world_tables(void);

#endif

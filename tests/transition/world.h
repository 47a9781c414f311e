/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A world for the transition engine: a guest and its host, each behind an MMU and a TLB of
 * tests/machine; memory with contents in it; a back end; an engine over all of them; and an oracle
 * (oracle.h) that knows what each page is, what is in it, and who may see that.
 *
 * Whether somebody can read a page is asked of his MMU with what its TLB still holds, and not of the
 * tables' author. All that can be looked at is looked at (watch.c) at every step: each call of the back
 * end, each flush, each allocation.
 */
#ifndef TESTS_TRANSITION_WORLD_H
#define TESTS_TRANSITION_WORLD_H

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "oracle.h"
#include "test_env.h"
#include <stage2/convert.h>
#include <stage2/hole.h>
#include <stage2/uv_backend.h>

/* Where the guest's pages are, as page numbers; what folios they are in is in world.c. */
#define GPA_FIRST UINT64_C(0x2000)
#define STORE_FIRST UINT64_C(0x1000)
#define STORE_PAGES 1024u
#define HOST_OWN 640u /* pages of the store from here to DONATED are in no guest */
#define DONATED 768u
#define RUN_MAX 24u

#define K4 UINT64_C(0x1000)
#define K16 UINT64_C(0x4000)
#define K64 UINT64_C(0x10000)
#define M2 UINT64_C(0x200000)

enum behind {
	BEHIND_TOY = 0, /* "encrypts" a page store; keeps its own notes */
	BEHIND_UV = 1,	/* the software Ultravisor */
	BEHIND_COUNT
};

/* One of the worlds that there are. */
struct choice {
	const struct machine_variant *v;
	enum behind behind;
	/*
	 * The guest has all pages mapped at all times, and only the Ultravisor keeps it from what is
	 * exported: so it is on s390. Else its view follows the states.
	 */
	bool all_mapped;
	enum s2_rejoin rejoin;
};

struct party {
	struct machine m;
	struct s2_config config;
	struct s2_space space;
	struct s2_view view;
	struct s2_table_env tables; /* of the machine's pool; config has ours */
};

/* What the back end is told to do. */
struct order {
	unsigned skip; /* so many calls go well */
	bool armed;    /* then one does this: */
	bool by_uv;    /* the Ultravisor itself fails, with cc and rc, at its n-th call */
	enum s2_reply reply;
	unsigned done; /* pages, at most as many as were asked for */
	bool wild;     /* an answer that cannot be, and nothing is done */
	struct s2_answer answer;
	struct s2_uv_nth nth;
};

struct toy_page {
	bool sealed;
	uint64_t version;
	uint64_t tag;
};

struct world {
	char name[80];
	struct choice choice;
	struct party guest, host;
	uint64_t *store;
	struct test_env env;
	struct s2_run run[RUN_MAX];
	size_t run_count;
	uint64_t store_page[ORACLE_PAGES]; /* of the guest's pages */
	struct s2_track track;
	struct s2_pins pins;
	struct s2_backend backend; /* ours; the real one is behind it */
	struct s2_engine engine;
	struct s2_job job[ORACLE_JOBS];
	struct oracle o;
	/* behind it */
	struct toy_page toy[ORACLE_PAGES];
	uint64_t toy_version;
	struct s2_uv uv;
	struct s2_uv_config uv_config;
	struct s2_uv_backend uv_backend;
	void *openssl;
	bool hidden[STORE_PAGES];
	struct order order;
	/* what is under way */
	int running;		/* job that is in resume; -1: none */
	enum s2_reply answered; /* by the back end, last */
	bool in_call;		/* of the engine */
	bool quiet;		/* steps are not looked at */
	unsigned watch_first, watch_end;
	uint64_t steps;
	uint64_t alloc_calls;
	uint64_t alloc_fail; /* this call fails, and all after it; 0: none */
	bool alloc_failed;   /* in this call of the engine */
	uint64_t random;
};

extern struct world w;

/* world.c */
void world_start(const struct choice *choice);
void world_finish(void); /* and all that must hold at the end */
unsigned choice_count(const char *format, bool few);
struct choice choice_at(const char *format, bool few, unsigned n);
const char *world_format(void);
uint64_t hpa_of(unsigned page);
uint64_t *memory_of(unsigned page);
uint64_t world_random(void);

static inline unsigned world_below(unsigned n)
{
	return (unsigned)(world_random() % n);
}

static inline struct s2_range page_range(unsigned start, unsigned count)
{
	return s2_range(s2_gpa((GPA_FIRST + start) << S2_PAGE_LG2), count * S2_PAGE_SIZE);
}

/* behind.c: the back end, and what is behind it. */
void behind_start(void);
void behind_finish(void);
/* Why nature, and not an order, would have the back end fail at this page. */
bool behind_refuses(unsigned page, enum s2_move move);
/* May the guest, or the host, use the page as far as those are concerned who are behind? */
bool behind_lets_guest(unsigned page);
bool behind_lets_host(unsigned page);

/* Contents: words that tell where they come from. */
#define STEP_GUEST UINT64_C(0x9e3779b97f4a7c15)
#define STEP_HOST UINT64_C(0xc2b2ae3d27d4eb4f)

void fill_page(unsigned page, uint64_t seed, uint64_t step);
/* seed 0: zeros; looks at every so-manieth word */
bool page_holds(unsigned page, uint64_t seed, uint64_t step, unsigned every);
bool page_is_plain(unsigned page); /* is it what a guest has written, as it wrote it? */

/* watch.c */
void watch_step(void);	  /* at any step: what must hold even now */
void watch_window(void);  /* between two calls: the same and more, of the pages of the last one */
void watch_settled(void); /* between two calls: everything, of all pages */
void watch_near(unsigned start, unsigned end);
bool host_reaches(unsigned page);
bool guest_reaches(unsigned page, bool write);

/* acts.c: calls, with what the oracle expects of them. They return what the engine did. */
enum s2_err act_start(int slot, struct s2_request request);
enum s2_err act_resume(int slot);
enum s2_err act_back(int slot);
enum s2_err act_stop(int slot);
enum s2_err act_convert(int slot, struct s2_request request);
enum s2_err act_poison(unsigned start, unsigned count);
enum s2_err act_pin(unsigned start, unsigned count);
enum s2_err act_unpin(unsigned start, unsigned count);
bool act_guest_writes(unsigned page);
bool act_host_writes(unsigned page);
/* The host changes a page that is its own, or cipher text; a second time puts it right again. */
void act_host_scribbles(unsigned page);
/* It has never been: also of a page that waits in a job, and that the host cannot reach. */
void act_host_repairs(unsigned page);
/* One move, page by page, of what is not there yet; must go well. */
void act_move(enum s2_move move, unsigned start, unsigned count);
/* All pages SECURE, each with its own contents. */
void act_populate(void);

static inline struct s2_request request_of(enum s2_move move, unsigned start, unsigned count,
					   uint64_t grain, enum s2_policy policy)
{
	return (struct s2_request){move, page_range(start, count), grain, policy, false};
}

/* Not by ck_assert_msg(): Check writes to a file for each of those, and there are millions here. */
#define must(cond)                                                                            \
	do {                                                                                  \
		if (!(cond)) {                                                                \
			ck_abort_msg("%s, step %" PRIu64 ": not %s", w.name, w.steps, #cond); \
		}                                                                             \
	} while (0)

#define must_at(page, cond)                                                                    \
	do {                                                                                   \
		if (!(cond)) {                                                                 \
			ck_abort_msg("%s, step %" PRIu64 ", page %u: not %s", w.name, w.steps, \
				     (page), #cond);                                           \
		}                                                                              \
	} while (0)

#define must_err(call, wanted)                                                    \
	do {                                                                      \
		enum s2_err err_ = (call);                                        \
		enum s2_err wanted_ = (wanted);                                   \
		if (err_ != wanted_) {                                            \
			ck_abort_msg("%s: %s: \"%s\", not \"%s\"", w.name, #call, \
				     s2_strerror(err_), s2_strerror(wanted_));    \
		}                                                                 \
	} while (0)

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The oracle (../oracle.h) against real KVM: a guest that makes the calls, a host that tries to read, and
 * the engine between them. One thread.
 *
 * Where the guest's calls end in the hypervisor, the engine works on the VM's own tracker. Where they come to
 * the VMM, that moves pages on the VM's tracker itself, one call at a time; the engine then works for
 * the guest, on a tracker of ours, and both trackers must agree.
 */
#ifndef TESTS_TRANSITION_KVM_TRIAL_H
#define TESTS_TRANSITION_KVM_TRIAL_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../oracle.h"
#include "agent.h"
#include "vm.h"

/* What is expected of a kind of protection, and not asked of its code. */
struct expected {
	bool tested;
	bool seals; /* the host may reach for secure pages, and gets cipher text: EXPORTED */
	bool moves; /* a page that is converted lies elsewhere: it is empty, and in no folio of RAM */
	bool repeats; /* to ask once more for what is so already is no error */
};

/* What is compared: a line of the result each. */
enum look {
	LOOK_ERR = 0,
	LOOK_CALL,
	LOOK_COUNT,
	LOOK_STATE,
	LOOK_PLAIN,
	LOOK_SECURE,
	LOOK_SEALED,
	LOOK_CONTENTS,
	LOOK_RESUME,
	LOOK_BACK,
	LOOK_STOP,
	LOOK_REFUSAL,
	LOOK_HELD,
	LOOKS
};

#define NO_PAGE ORACLE_PAGES

struct trial {
	const struct expected *expected;
	struct vm vm;
	struct ram ram;
	struct agent agent;
	struct s2_env env;
	struct s2_track own;
	struct s2_track *track; /* own, or the VM's */
	struct s2_pins pins;
	struct s2_backend backend;
	struct s2_engine engine;
	struct s2_job job[ORACLE_JOBS];
	struct oracle o;
	/* The back end's orders: after skip calls that go well, one stops after so many pages. */
	bool armed;
	unsigned skip;
	unsigned pages;
	enum s2_reply reply;
	unsigned ahead; /* page that the guest has converted already, on its own; or NO_PAGE */
	/* under way */
	int running; /* job whose call of the back end is due; -1: none */
	enum s2_reply answered;
	struct s2_request request; /* the latest, for messages */
	enum s2_err want, got;	   /* likewise: how it should have ended, and how it did */
	unsigned step;
	uint64_t seeds; /* patterns so far: each one is new */
	uint64_t looked[LOOKS];
};

extern struct trial t;

/* One check, counted; if it does not hold, says so and ends the program. page may be NO_PAGE. */
#define check(look, page, cond) trial_check((look), (page), (cond), #cond)
void trial_check(enum look look, unsigned page, bool holds, const char *text);

/* Has everything been looked at that there is of this kind of protection? */
bool looked_at_all(void);

/* A failure of something that is only needed here: says so, and ends the program. */
#define need(cond)                        \
	do {                              \
		if (!(cond)) {            \
			trial_end(#cond); \
		}                         \
	} while (0)
__attribute__((noreturn)) void trial_end(const char *text);

static inline struct s2_range pages_range(unsigned start, unsigned count)
{
	return flat_range(&t.o.flat, start, count);
}

static inline unsigned page_of(s2_gpa_t gpa)
{
	return (unsigned)((gpa.val >> S2_PAGE_LG2) - t.o.flat.first);
}

/* At rest, in that state? */
static inline bool rests(unsigned page, enum s2_state state)
{
	return !t.o.flat.page[page].moving && t.o.flat.page[page].state == state;
}

/* The word that is expected in a page: the pattern of its seed; 0 where it is empty. */
static inline uint64_t word_of(unsigned page, unsigned word)
{
	const uint64_t seed = t.o.page[page].seed;

	return seed ? agent_pattern(seed, pages_range(page, 1).start.val, word) : 0;
}

/* guest.c: the back end, and what the guest does. */
struct s2_answer guest_convert(void *cookie, enum s2_move move, struct s2_range range);
/* The guest's own calls, beside the engine. */
void guest_moves(enum s2_move move, unsigned page);
/* It fills pages with a new pattern; looks whether it finds what must be there. None may be EXPORTED. */
void guest_writes(unsigned start, unsigned count);
void guest_verifies(unsigned start, unsigned count);
/* The same as far as pages can be used without a move; new patterns for those that are empty. */
void guest_verifies_what_is_there(unsigned start, unsigned end);
void guest_fills_empty(unsigned start, unsigned end);

/* look.c: comparisons. */
void look_at_states(void);
void look_at_counts(void);
/* What the host can read of the page, tried for real. */
void look_at_page(unsigned page);
/* It waits to be shared, and so is not. */
void look_at_waiting(unsigned page);
void host_writes(unsigned page);

/* model.c */
unsigned below(unsigned n);
void model_run(unsigned requests);
/* All pages SECURE again, by requests. */
void model_restore(void);

#endif

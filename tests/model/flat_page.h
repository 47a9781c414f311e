/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The naive model of a tracker: one structure a page, one loop an operation, written from the text
 * of track.h and not from its code. And the random numbers that drive both. Needs no library.
 */
#ifndef TESTS_MODEL_FLAT_PAGE_H
#define TESTS_MODEL_FLAT_PAGE_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <stage2/track.h>

#ifndef FLAT_MAX
#define FLAT_MAX 2600u
#endif

struct flat_page {
	enum s2_state state; /* at rest, or before the move */
	bool widened;	     /* likewise */
	bool moving;
	enum s2_move move;
	bool move_widened;
	unsigned id; /* which move */
};

struct flat {
	struct flat_page page[FLAT_MAX];
	unsigned count;
	uint64_t first; /* number of the first page */
	unsigned next_id;
};

/* xorshift64*: the same numbers on every host. */
static uint64_t flat_random_state;

static inline uint64_t flat_random(void)
{
	uint64_t x = flat_random_state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	flat_random_state = x;
	return (x * UINT64_C(0x2545f4914f6cdd1d)) >> 16;
}

/* 0 to n - 1 */
static inline unsigned flat_below(unsigned n)
{
	return (unsigned)(flat_random() % n);
}

/* S2_SEED replays a run; the seed is printed where TAP allows it. */
static inline uint64_t flat_seed(void)
{
	const char *text = getenv("S2_SEED");
	uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;

	seed = seed == 0 ? 1 : seed;
	printf("# S2_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	return seed;
}

static inline void flat_init(struct flat *flat, uint64_t first, unsigned count)
{
	memset(flat, 0, sizeof(*flat));
	flat->first = first;
	flat->count = count;
}

static inline struct s2_range flat_range(const struct flat *flat, unsigned start, unsigned count)
{
	return s2_range(s2_gpa((flat->first + start) * S2_PAGE_SIZE), count * S2_PAGE_SIZE);
}

static inline struct s2_page flat_answer(const struct flat_page *page)
{
	struct s2_page answer = {page->state, false, page->widened};

	if (page->moving) {
		answer.state = S2_SECURE;
		answer.moving = true;
		answer.widened = false;
	}
	return answer;
}

static inline bool flat_same(struct s2_page a, struct s2_page b)
{
	return a.state == b.state && a.moving == b.moving && a.widened == b.widened;
}

static inline enum s2_state flat_from(enum s2_move move)
{
	return move == S2_DONATE		       ? S2_NONE
	       : move == S2_SHARE || move == S2_EXPORT ? S2_SECURE
	       : move == S2_UNSHARE		       ? S2_SHARED
						       : S2_EXPORTED;
}

static inline enum s2_state flat_to(enum s2_move move)
{
	return move == S2_SHARE	    ? S2_SHARED
	       : move == S2_EXPORT  ? S2_EXPORTED
	       : move == S2_RECLAIM ? S2_NONE
				    : S2_SECURE;
}

static inline enum s2_err flat_begin_err(const struct flat_page *page, enum s2_move move)
{
	if (page->moving) {
		return S2_ERR_BUSY;
	}
	if (move == S2_RECLAIM || page->state == flat_from(move)) {
		return S2_OK;
	}
	return page->state == S2_POISONED ? S2_ERR_POISON : S2_ERR_STATE;
}

static inline void flat_begin(struct flat_page *page, enum s2_move move, bool widened, unsigned id)
{
	page->moving = true;
	page->move = move;
	page->move_widened = widened;
	page->id = id;
}

static inline void flat_done(struct flat_page *page)
{
	page->moving = false;
	page->state = flat_to(page->move);
	page->widened = page->move_widened;
}

static inline void flat_undo(struct flat_page *page)
{
	page->moving = false;
	if (page->move == S2_IMPORT) {
		page->widened = false;
	}
}

#endif

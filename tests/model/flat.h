/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The naive model of a tracker: one structure a page, one loop an operation, written from the text
 * of track.h and not from its code. And the random numbers that drive both.
 */
#ifndef TESTS_MODEL_FLAT_H
#define TESTS_MODEL_FLAT_H

#include <check.h>
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

/* Compares count pages from start, and what the tracker says of whole spans and sums of them. */
static inline void flat_compare(const struct flat *flat, const struct s2_track *t, unsigned start,
				unsigned count)
{
	struct s2_range range = flat_range(flat, start, count);
	struct s2_track_sum want;
	struct s2_track_sum got;
	struct s2_span span;
	unsigned at = start;

	memset(&want, 0, sizeof(want));
	for (unsigned i = start; i < start + count; i++) {
		struct s2_page page = flat_answer(&flat->page[i]);
		struct s2_page answer = {S2_NONE, false, false};

		if (s2_track_get(t, flat_range(flat, i, 1).start, &answer) != S2_OK ||
		    !flat_same(page, answer)) {
			ck_abort_msg("page %u: %d %d %d, not %d %d %d", i, answer.state,
				     answer.moving, answer.widened, page.state, page.moving,
				     page.widened);
		}
		want.state[page.state]++;
		want.moving += page.moving;
		want.widened_share += page.state == S2_SHARED && page.widened;
		want.widened_export += page.state == S2_EXPORTED && page.widened;
	}
	if (s2_track_sum(t, range, &got) != S2_OK || memcmp(&got, &want, sizeof(got)) != 0) {
		ck_abort_msg("the sum of %u pages from %u differs", count, start);
	}
	while (at < start + count) {
		unsigned end = at + 1;

		while (end < start + count &&
		       flat_same(flat_answer(&flat->page[end]), flat_answer(&flat->page[at]))) {
			end++;
		}
		if (s2_track_next(t, flat_range(flat, at, 1).start, range, &span) != S2_OK ||
		    span.range.start.val != flat_range(flat, at, 1).start.val ||
		    span.range.len != (end - at) * S2_PAGE_SIZE ||
		    !flat_same(span.page, flat_answer(&flat->page[at]))) {
			ck_abort_msg("the span from %u should end at %u", at, end);
		}
		at = end;
	}
}

/* Compares what the tracker says of the block of 2^lg2 bytes that holds the page at. */
static inline void flat_compare_block(const struct flat *flat, const struct s2_track *t,
				      unsigned at, uint8_t lg2)
{
	uint64_t size = UINT64_C(1) << (lg2 - S2_PAGE_LG2);
	uint64_t block = (flat->first + at) & ~(size - 1);
	unsigned start = block > flat->first ? (unsigned)(block - flat->first) : 0;
	uint64_t end = block + size - flat->first;
	struct s2_page want = flat_answer(&flat->page[start]);
	struct s2_page page;
	bool uniform;
	unsigned i = start;

	while (i < end && i < flat->count && flat_same(flat_answer(&flat->page[i]), want)) {
		i++;
	}
	if (i < end && i < flat->count) {
		memset(&want, 0, sizeof(want));
	}
	if (s2_track_uniform(t, s2_gpa(block << S2_PAGE_LG2), lg2, &uniform, &page) != S2_OK ||
	    uniform != (i == end || i == flat->count) || !flat_same(page, want)) {
		ck_abort_msg("the block of 2^%d bytes at %u is not what it says", lg2, start);
	}
}

#endif

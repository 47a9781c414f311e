/* SPDX-License-Identifier: BSD-2-Clause */
/* A tracker against its naive model (flat_page.h). */
#ifndef TESTS_MODEL_FLAT_H
#define TESTS_MODEL_FLAT_H

#include <check.h>

#include "flat_page.h"

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

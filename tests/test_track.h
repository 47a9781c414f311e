/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the tracker and of conversion share: page numbers, and a picture of it all. */
#ifndef TESTS_TEST_TRACK_H
#define TESTS_TEST_TRACK_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <stage2/track.h>

#define CHUNK UINT64_C(512) /* pages */

static inline struct s2_range pages(uint64_t start, uint64_t count)
{
	return s2_range(s2_gpa(start * S2_PAGE_SIZE), count * S2_PAGE_SIZE);
}

/* Not with ck_assert, which writes a file each time and would be most of the run time. */
static inline struct s2_page page_at(const struct s2_track *t, uint64_t page)
{
	struct s2_page out;

	if (s2_track_get(t, s2_gpa(page * S2_PAGE_SIZE), &out) != S2_OK) {
		ck_abort_msg("page %llx is not in the tracker", (unsigned long long)page);
	}
	return out;
}

/* One byte says all that the tracker says of a page. */
static inline unsigned char page_byte(struct s2_page page)
{
	unsigned val =
		(unsigned)page.state | (page.moving ? 0x10u : 0) | (page.widened ? 0x20u : 0);

	return (unsigned char)val;
}

/* Everything that can be seen of a tracker; also its counters, which a failure must not touch. */
struct picture {
	unsigned char *page;
	size_t page_count;
	struct s2_track_sum sum;
	uint64_t count[16];
	uint64_t map_count;
};

static inline struct picture picture_take(const struct s2_track *t)
{
	uint64_t first = t->range.start.val / S2_PAGE_SIZE;
	struct picture picture;

	memset(&picture, 0, sizeof(picture));
	picture.page_count = (size_t)(t->range.len / S2_PAGE_SIZE);
	picture.page = malloc(picture.page_count);
	ck_assert_ptr_nonnull(picture.page);
	for (size_t i = 0; i < picture.page_count; i++) {
		picture.page[i] = page_byte(page_at(t, first + i));
	}
	ck_assert_int_eq(s2_track_sum(t, t->range, &picture.sum), S2_OK);
	for (uint64_t i = 0; i < t->region_count * 16; i++) {
		picture.count[i % 16] += s2_track_region(t, first)[i / 16].count[i % 16];
	}
	picture.map_count = t->map_count;
	return picture;
}

static inline void picture_free(struct picture *picture)
{
	free(picture->page);
}

/* Fails the test unless the tracker still looks as it did. */
static inline void picture_expect(const struct picture *before, const struct s2_track *t)
{
	struct picture now = picture_take(t);

	ck_assert(s2_track_check(t));
	ck_assert_uint_eq(now.page_count, before->page_count);
	ck_assert_mem_eq(now.page, before->page, now.page_count);
	ck_assert_mem_eq(&now.sum, &before->sum, sizeof(now.sum));
	ck_assert_mem_eq(now.count, before->count, sizeof(now.count));
	ck_assert_uint_eq(now.map_count, before->map_count);
	picture_free(&now);
}

#endif

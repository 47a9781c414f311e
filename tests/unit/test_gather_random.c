/* SPDX-License-Identifier: BSD-2-Clause */
/* Owed flushes against a naive list of page ranges. */
#include "gather.h"

#include "model/flat.h"

#define ADD_COUNT 20000u
#define PAGES 4096u /* of the random test */

/* The naive list: page numbers, no order, one more than there may be. */
struct item {
	uint64_t first, last;
	enum s2_flush_kind kind;
	unsigned stride_lg2, level;
};

static struct item items[S2_GATHER_RANGES + 1];
static unsigned item_count;

static void items_join(unsigned a, unsigned b)
{
	struct item *to = &items[a];
	const struct item *from = &items[b];

	to->first = from->first < to->first ? from->first : to->first;
	to->last = from->last > to->last ? from->last : to->last;
	to->kind = from->kind > to->kind ? from->kind : to->kind;
	to->stride_lg2 = from->stride_lg2 < to->stride_lg2 ? from->stride_lg2 : to->stride_lg2;
	to->level = from->level == to->level ? to->level : S2_LEVEL_ANY;
	items[b] = items[--item_count];
}

/* Pages between two items; 0 if they touch. */
static uint64_t items_gap(const struct item *a, const struct item *b)
{
	if (a->first > b->first) {
		return items_gap(b, a);
	}
	return b->first <= a->last + 1 ? 0 : b->first - a->last - 1;
}

/* The two that are nearest; of several, the lowest. */
static uint64_t items_nearest(unsigned *a, unsigned *b)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < item_count; i++) {
		for (unsigned j = 0; j < item_count; j++) {
			uint64_t gap = items_gap(&items[i], &items[j]);

			if (i != j && items[i].first <= items[j].first &&
			    (gap < best || (gap == best && items[i].first < items[*a].first))) {
				best = gap;
				*a = i;
				*b = j;
			}
		}
	}
	return best;
}

static void items_add(struct item item)
{
	unsigned a = 0;
	unsigned b = 0;

	items[item_count++] = item;
	while (items_nearest(&a, &b) == 0) {
		items_join(a, b);
	}
	if (item_count > S2_GATHER_RANGES) {
		items_nearest(&a, &b);
		items_join(a, b);
	}
}

static const struct item *items_find(uint64_t first)
{
	for (unsigned i = 0; i < item_count; i++) {
		if (items[i].first == first) {
			return &items[i];
		}
	}
	return NULL;
}

/* What has to be flushed, page by page, since the last sync. */
static uint8_t page_kind[PAGES]; /* enum s2_flush_kind plus 1 */
static uint8_t page_stride[PAGES];
static uint8_t page_level[PAGES];

static void page_add(const struct item *item)
{
	for (uint64_t page = item->first; page <= item->last; page++) {
		bool fresh = page_kind[page] == 0;

		if (page_kind[page] < (unsigned)item->kind + 1) {
			page_kind[page] = (uint8_t)(item->kind + 1);
		}
		if (fresh || page_stride[page] > item->stride_lg2) {
			page_stride[page] = (uint8_t)item->stride_lg2;
		}
		if (fresh) {
			page_level[page] = (uint8_t)item->level;
		} else if (page_level[page] != item->level) {
			page_level[page] = S2_LEVEL_ANY;
		}
	}
}

/* Is this page flushed, and as what has to be? Not by ck_assert(), which takes long. */
static bool page_is_right(uint64_t page)
{
	uint64_t gpa = page << S2_PAGE_LG2;

	for (unsigned i = 0; i < g.flush_count; i++) {
		const struct s2_flush *flush = &g.flush[i];

		if (gpa >= flush->range.start.val && gpa <= s2_range_last(flush->range).val) {
			return flush->kind + 1u >= page_kind[page] &&
			       flush->stride_lg2 <= page_stride[page] &&
			       (flush->kind != S2_FLUSH_LEAF || flush->level == S2_LEVEL_ANY ||
				flush->level == page_level[page]);
		}
	}
	return false;
}

/* Is the gather what the list is, in order, with gaps? */
static bool items_are_right(void)
{
	for (unsigned i = 0; i < g.flush_count; i++) {
		const struct s2_flush *flush = &g.flush[i];
		const struct item *item = items_find(flush->range.start.val >> S2_PAGE_LG2);

		if (item == NULL || flush->kind != item->kind ||
		    s2_range_last(flush->range).val >> S2_PAGE_LG2 != item->last ||
		    flush->stride_lg2 != item->stride_lg2 ||
		    (item->kind == S2_FLUSH_LEAF && flush->level != item->level) ||
		    (i > 0 &&
		     flush->range.start.val <= s2_range_last(g.flush[i - 1].range).val + 1)) {
			return false;
		}
	}
	return g.flush_count == item_count;
}

static void pages_are_right(void)
{
	for (uint64_t page = 0; page < PAGES; page++) {
		if (page_kind[page] != 0 && !page_is_right(page)) {
			ck_abort_msg("page %u is not flushed as it must be", (unsigned)page);
		}
	}
}

static struct item random_item(void)
{
	static const unsigned strides[] = {12, 19, 29};
	unsigned level = flat_below(3);
	uint64_t len = flat_below(8) == 0 ? 1 + flat_below(PAGES / 8) : 1 + flat_below(8);
	struct item item = {
		.kind = flat_below(4) == 0 ? S2_FLUSH_WALK : S2_FLUSH_LEAF,
		.stride_lg2 = strides[level],
		.level = level,
	};

	item.first = flat_below(PAGES - (unsigned)len + 1);
	item.last = item.first + len - 1;
	return item;
}

START_TEST(random_adds)
{
	flat_random_state = flat_seed();
	for (unsigned n = 0; n < ADD_COUNT; n++) {
		struct item item = random_item();

		add(item.kind, item.first, item.last - item.first + 1, item.stride_lg2, item.level);
		page_add(&item);
		items_add(item);
		ck_assert(items_are_right());
		if (flat_below(30) == 0) {
			pages_are_right();
			memset(page_kind, 0, sizeof(page_kind));
			item_count = 0;
			s2_gather_sync(&g);
		}
	}
}
END_TEST

void add_random(TCase *tcase)
{
	tcase_add_test(tcase, random_adds);
}

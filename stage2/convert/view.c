/* SPDX-License-Identifier: BSD-2-Clause */
/* Views: what the guest or the host can reach, kept in line with the tracker by the engine. */
#include "internal.h"

enum s2_err s2_view_init(struct s2_view *v)
{
	if (v->space == NULL || (unsigned)v->mem >= S2_MEM_COUNT ||
	    (unsigned)v->rejoin >= S2_REJOIN_COUNT || v->prot[S2_POISONED] != 0) {
		return S2_ERR_INVAL;
	}
	for (unsigned state = 0; state < S2_STATE_COUNT; state++) {
		if ((v->prot[state] & ~(unsigned)S2_PROT_ALL) != 0) {
			return S2_ERR_INVAL;
		}
		if (v->prot[state] != 0 && v->space->attr[v->mem][v->prot[state]] == 0) {
			return S2_ERR_FORMAT;
		}
		/* What two states both allow, a page in transition has. */
		for (unsigned other = 0; other < state; other++) {
			unsigned prot = v->prot[state] & (unsigned)v->prot[other];

			if (prot != 0 && v->space->attr[v->mem][prot] == 0) {
				return S2_ERR_FORMAT;
			}
		}
	}
	s2_gather_init(&v->gather, v->space);
	v->broken = s2_range(s2_gpa(0), 0);
	return S2_OK;
}

void s2_view_fini(struct s2_view *v)
{
	s2_gather_fini(&v->gather);
}

const char *s2_rejoin_name(enum s2_rejoin rejoin)
{
	static const char *const name[S2_REJOIN_COUNT] = {
		[S2_REJOIN_NEVER] = "never",
		[S2_REJOIN_IDLE] = "idle",
		[S2_REJOIN_AT_ONCE] = "at-once",
	};

	return (unsigned)rejoin < S2_REJOIN_COUNT ? name[rejoin] : "unknown";
}

/* A run, or a part of one, as the view addresses it. */
static struct s2_run in_view(const struct s2_view *v, struct s2_run run)
{
	if (v->by_hpa) {
		run.gpa = s2_gpa(run.hpa.val);
	}
	return run;
}

size_t s2_first_run(const struct s2_run *runs, size_t run_count, uint64_t page)
{
	size_t low = 0;
	size_t high = run_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s2_range_pages(s2_run_range(&runs[middle])).end <= page) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

/* What a run has of these pages, as the view addresses it; false if nothing. */
static bool piece_of(const struct s2_view *v, const struct s2_run *run, struct s2_pages pages,
		     struct s2_run *piece)
{
	struct s2_pages part = s2_pages_overlap(pages, s2_range_pages(s2_run_range(run)));
	uint64_t offset;

	if (s2_pages_are_none(part)) {
		return false;
	}
	offset = (part.start << S2_PAGE_LG2) - run->gpa.val;
	*piece = *run;
	piece->gpa.val += offset;
	piece->hpa.val += offset;
	piece->len = (part.end - part.start) << S2_PAGE_LG2;
	*piece = in_view(v, *piece);
	return true;
}

/* Calls do_piece for each piece of the pages, until one fails. */
static enum s2_err each_piece(struct s2_view *v, const struct s2_run *runs, size_t run_count,
			      struct s2_pages pages, unsigned prot,
			      enum s2_err (*do_piece)(struct s2_view *v, const struct s2_run *piece,
						      unsigned prot))
{
	enum s2_err err = S2_OK;
	struct s2_run piece;

	for (size_t i = s2_first_run(runs, run_count, pages.start);
	     i < run_count && err == S2_OK && piece_of(v, &runs[i], pages, &piece); i++) {
		err = do_piece(v, &piece, prot);
	}
	return err;
}

/* A leaf that begins before an address has to be cut there: that takes a table for each level. */
static void count_cut(const struct s2_space *s, uint64_t addr, struct s2_table_count *tables)
{
	struct s2_leaf leaf;

	if (s2_query(s, s2_gpa(addr), &leaf) != S2_OK || !leaf.mapped ||
	    leaf.range.start.val == addr || leaf.level == 0) {
		return;
	}
	tables->count[S2_TABLE_LEAF]++;
	tables->count[S2_TABLE_UPPER] += leaf.level - 1u;
}

static void count_cuts(const struct s2_view *v, struct s2_range range,
		       struct s2_table_count *tables)
{
	count_cut(v->space, range.start.val, tables);
	count_cut(v->space, range.start.val + range.len, tables);
}

void s2_view_count_cuts(const struct s2_view *v, const struct s2_engine *e, struct s2_pages pages,
			struct s2_table_count *tables)
{
	struct s2_run piece;

	if (!v->by_hpa) {
		count_cuts(v, s2_pages_range(pages), tables);
		return;
	}
	for (size_t i = s2_first_run(e->runs, e->run_count, pages.start);
	     i < e->run_count && piece_of(v, &e->runs[i], pages, &piece); i++) {
		count_cuts(v, s2_run_range(&piece), tables);
	}
}

static enum s2_err narrow_range(struct s2_view *v, struct s2_range range, unsigned prot)
{
	if (prot == 0) {
		return s2_unmap(v->space, range, &v->gather, NULL);
	}
	return s2_protect(v->space, range, prot, &v->gather, NULL);
}

static enum s2_err narrow_piece(struct s2_view *v, const struct s2_run *piece, unsigned prot)
{
	return narrow_range(v, s2_run_range(piece), prot);
}

enum s2_err s2_view_narrow(struct s2_view *v, const struct s2_engine *e, struct s2_pages pages,
			   unsigned prot)
{
	if (!v->by_hpa) {
		return narrow_range(v, s2_pages_range(pages), prot);
	}
	return each_piece(v, e->runs, e->run_count, pages, prot, narrow_piece);
}

/* What is mapped of the piece has other rights or the same; the rest is not mapped. */
static enum s2_err grant_piece(struct s2_view *v, const struct s2_run *piece, unsigned prot)
{
	enum s2_err err = s2_protect(v->space, s2_run_range(piece), prot, &v->gather, NULL);

	if (err == S2_OK) {
		err = s2_map(v->space, piece, 1, prot, v->mem, &v->gather, NULL);
	}
	return err;
}

enum s2_err s2_view_grant(struct s2_view *v, const struct s2_engine *e, struct s2_pages pages,
			  unsigned prot)
{
	return each_piece(v, e->runs, e->run_count, pages, prot, grant_piece);
}

/* The end of leaves whose size is worth a look at all their entries, and not only at the first. */
#define SMALL_LG2 21u

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Blocks of a size around some bytes, as far as they lie in the run. */
static struct s2_range blocks_around(const struct s2_run *run, struct s2_range touched,
				     uint64_t size)
{
	uint64_t run_last = run->gpa.val + (run->len - 1);
	uint64_t first = max64(touched.start.val & ~(size - 1), run->gpa.val);
	uint64_t last = min64(s2_range_last(touched).val | (size - 1), run_last);

	return s2_range(s2_gpa(first), last - first + 1);
}

/* Is there a leaf of this size at the address now? */
static bool is_leaf_of(const struct s2_space *s, s2_gpa_t addr, uint64_t size)
{
	struct s2_leaf leaf;

	return s2_query(s, addr, &leaf) == S2_OK && leaf.mapped && leaf.range.len >= size;
}

/*
 * Makes leaves as large as can be of what a run has around some of its bytes, in the view's addresses.
 * From small to large: where a leaf did not come back, a larger one cannot. Of several that one says
 * nothing of the others.
 */
static void rejoin_run(struct s2_view *v, const struct s2_run *run, struct s2_range touched)
{
	uint64_t sizes = s2_space_leaf_sizes(v->space) & ~((uint64_t)S2_PAGE_SIZE * 2 - 1);

	for (uint8_t lg2 = S2_PAGE_LG2 + 1; lg2 < 64 && UINT64_C(1) << lg2 <= run->len; lg2++) {
		uint64_t size = UINT64_C(1) << lg2;
		struct s2_range blocks = blocks_around(run, touched, size);

		if ((sizes & size) == 0) {
			continue;
		}
		if (lg2 > SMALL_LG2 && blocks.len == size) {
			/* Cheaper: it ends at the first entry that does not fit. */
			if (s2_collapse(v->space, blocks, &v->gather) != S2_OK) {
				return;
			}
		} else if (s2_collapse_all(v->space, blocks, lg2, &v->gather, NULL) != S2_OK) {
			return;
		}
		if (blocks.len <= size && !is_leaf_of(v->space, touched.start, size)) {
			return;
		}
	}
}

/* All runs of a range of pages. */
static void rejoin_pages(struct s2_view *v, const struct s2_run *runs, size_t run_count,
			 struct s2_pages pages)
{
	struct s2_run piece;

	for (size_t i = s2_first_run(runs, run_count, pages.start);
	     i < run_count && !s2_pages_are_none(pages); i++) {
		struct s2_run run = in_view(v, runs[i]);

		if (!piece_of(v, &runs[i], pages, &piece)) {
			break;
		}
		rejoin_run(v, &run, s2_run_range(&piece));
	}
	if (s2_gather_owes(&v->gather)) {
		s2_gather_sync(&v->gather);
	}
}

void s2_view_settle(struct s2_view *v, const struct s2_engine *e, struct s2_pages pages)
{
	struct s2_range range = s2_pages_range(pages);

	if (v->rejoin == S2_REJOIN_AT_ONCE) {
		rejoin_pages(v, e->runs, e->run_count, pages);
	}
	if (v->rejoin == S2_REJOIN_IDLE && v->broken.len != 0) {
		uint64_t last = max64(s2_range_last(range).val, s2_range_last(v->broken).val);

		range.start.val = min64(range.start.val, v->broken.start.val);
		range.len = last - range.start.val + 1;
	}
	if (v->rejoin == S2_REJOIN_IDLE) {
		v->broken = range;
	}
}

bool s2_view_rejoin(struct s2_view *v, const struct s2_run *runs, size_t run_count,
		    uint64_t max_len)
{
	struct s2_range part = v->broken;

	if (part.len == 0) {
		return true;
	}
	part.len = max_len == 0 ? part.len : min64(part.len, max64(max_len, S2_PAGE_SIZE));
	rejoin_pages(v, runs, run_count, s2_range_pages(part));
	v->broken.start.val += part.len;
	v->broken.len -= part.len;
	return v->broken.len == 0;
}

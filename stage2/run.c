/* SPDX-License-Identifier: BSD-2-Clause */
#include <stage2/run.h>

static bool is_aligned(uint64_t val)
{
	return (val & (S2_PAGE_SIZE - 1)) == 0;
}

/* len is not 0. */
static bool wraps(uint64_t start, uint64_t len)
{
	return start + (len - 1) < start;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The number of the folio that holds hpa, among all folios of this order. */
static uint64_t folio_number(s2_hpa_t hpa, uint8_t order)
{
	return hpa.val >> (S2_PAGE_LG2 + order);
}

enum s2_err s2_range_check(struct s2_range range)
{
	if (range.len == 0) {
		return S2_ERR_INVAL;
	}
	if (!is_aligned(range.start.val | range.len)) {
		return S2_ERR_ALIGN;
	}
	return wraps(range.start.val, range.len) ? S2_ERR_WRAP : S2_OK;
}

enum s2_err s2_run_check(const struct s2_run *run)
{
	s2_hpa_t last;

	if (run->len == 0 || run->folio_order > S2_FOLIO_ORDER_MAX) {
		return S2_ERR_INVAL;
	}
	if (!is_aligned(run->gpa.val | run->hpa.val | run->len)) {
		return S2_ERR_ALIGN;
	}
	if (wraps(run->gpa.val, run->len) || wraps(run->hpa.val, run->len)) {
		return S2_ERR_WRAP;
	}
	last = s2_hpa(run->hpa.val + (run->len - 1));
	if (folio_number(run->hpa, run->folio_order) != folio_number(last, run->folio_order)) {
		return S2_ERR_RANGE;
	}
	return S2_OK;
}

enum s2_err s2_run_split(const struct s2_run *run, uint64_t at, struct s2_run *head,
			 struct s2_run *tail)
{
	struct s2_run whole = *run; /* head or tail may be run itself */

	if (!is_aligned(at)) {
		return S2_ERR_ALIGN;
	}
	if (at == 0 || at >= whole.len) {
		return S2_ERR_RANGE;
	}
	*head = whole;
	head->len = at;
	*tail = whole;
	tail->gpa.val += at;
	tail->hpa.val += at;
	tail->len -= at;
	return S2_OK;
}

bool s2_run_can_merge(const struct s2_run *a, const struct s2_run *b)
{
	/* A run that ends at the top of the address space has no follower: its end wraps to 0. */
	return a->gpa.val + a->len == b->gpa.val && b->gpa.val != 0 &&
	       a->hpa.val + a->len == b->hpa.val && b->hpa.val != 0 &&
	       a->folio_order == b->folio_order &&
	       folio_number(a->hpa, a->folio_order) == folio_number(b->hpa, b->folio_order);
}

size_t s2_runs_merge(struct s2_run *runs, size_t run_count)
{
	size_t kept = 0;

	for (size_t i = 0; i < run_count; i++) {
		if (kept > 0 && s2_run_can_merge(&runs[kept - 1], &runs[i])) {
			runs[kept - 1].len += runs[i].len;
		} else {
			runs[kept++] = runs[i];
		}
	}
	return kept;
}

const struct s2_run *s2_runs_find(const struct s2_run *runs, size_t run_count, s2_gpa_t gpa)
{
	size_t start = 0;
	size_t end = run_count;

	/* All runs before start begin at or below gpa, all from end on begin above it. */
	while (start < end) {
		size_t middle = start + (end - start) / 2;

		if (runs[middle].gpa.val <= gpa.val) {
			start = middle + 1;
		} else {
			end = middle;
		}
	}
	if (start == 0 || gpa.val - runs[start - 1].gpa.val >= runs[start - 1].len) {
		return NULL;
	}
	return &runs[start - 1];
}

struct s2_range s2_run_range(const struct s2_run *run)
{
	return s2_range(run->gpa, run->len);
}

/* Not a builtin: some targets make a library call of it. */
static uint8_t lg2_floor(uint64_t val)
{
	uint8_t lg2 = 0;

	for (unsigned step = 32; step > 0; step /= 2) {
		if ((val >> step) != 0) {
			val >>= step;
			lg2 = (uint8_t)(lg2 + step);
		}
	}
	return lg2;
}

/* The sizes, as a mask, that an address is aligned to. Zero is aligned to all. */
static uint64_t aligned_sizes(uint64_t val)
{
	return val ^ (val - 1);
}

uint8_t s2_run_best_leaf(const struct s2_run *run, s2_gpa_t gpa, uint64_t max_len,
			 uint64_t leaf_sizes)
{
	uint64_t offset = gpa.val - run->gpa.val;
	uint64_t room;
	uint64_t sizes;

	if (offset >= run->len) {
		return 0;
	}
	room = min_u64(max_len, run->len - offset);
	if (room == 0) {
		return 0;
	}
	sizes = leaf_sizes & aligned_sizes(gpa.val | (run->hpa.val + offset));
	/* Bit n of the mask has the value of the size that it stands for, so that masks compare. */
	sizes &= (UINT64_C(2) << lg2_floor(room)) - 1;
	return sizes == 0 ? 0 : lg2_floor(sizes);
}

/*
 * How far leaves of one size go on from gpa before a larger one may start: to the next boundary of
 * the smallest larger size to which gpa and hpa can be aligned together, if there is one.
 */
static uint64_t same_size_len(const struct s2_run *run, uint64_t gpa, uint64_t room,
			      uint64_t leaf_sizes, uint8_t lg2)
{
	uint64_t skew = run->gpa.val ^ run->hpa.val;
	uint64_t larger = leaf_sizes & aligned_sizes(skew) & ~((UINT64_C(2) << lg2) - 1);
	uint64_t size = larger & (~larger + 1);

	if (size == 0) {
		return room;
	}
	return min_u64(room, size - (gpa & (size - 1)));
}

void s2_run_count_leaves(const struct s2_run *run, struct s2_range range, uint64_t leaf_sizes,
			 struct s2_leaf_count *out)
{
	uint64_t gpa = max_u64(run->gpa.val, range.start.val);
	uint64_t last = min_u64(s2_range_last(s2_run_range(run)).val, s2_range_last(range).val);
	uint64_t room = gpa <= last ? last - gpa + 1 : 0;

	while (room > 0) {
		uint8_t lg2 = s2_run_best_leaf(run, s2_gpa(gpa), room, leaf_sizes);
		uint64_t leaves;

		if (lg2 == 0) {
			return;
		}
		leaves = same_size_len(run, gpa, room, leaf_sizes, lg2) >> lg2;
		out->count[lg2] += leaves;
		gpa += leaves << lg2;
		room -= leaves << lg2;
	}
}

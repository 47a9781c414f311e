/* SPDX-License-Identifier: BSD-2-Clause */
/* Views: sorted pieces, as few as can be. */
#include "picture.h"

#include <stdlib.h>
#include <string.h>

static void view_add(struct view *v, const struct piece *piece)
{
	if (v->count == v->room) {
		v->room = v->room * 2 + 16;
		v->piece = realloc(v->piece, v->room * sizeof(*v->piece));
		must(v->piece != NULL);
	}
	v->piece[v->count++] = *piece;
}

static int piece_order(const void *a, const void *other)
{
	uint64_t x = ((const struct piece *)a)->gpa;
	uint64_t y = ((const struct piece *)other)->gpa;

	return x < y ? -1 : x > y;
}

static bool piece_follows(const struct piece *p, const struct piece *next)
{
	return p->last + 1 == next->gpa && p->hpa + (p->last - p->gpa) + 1 == next->hpa &&
	       p->prot == next->prot && p->mem == next->mem;
}

/* In order, and neighbours that go on are one. */
static void view_tidy(struct view *v)
{
	size_t count = 0;

	if (v->count == 0) {
		return;
	}
	qsort(v->piece, v->count, sizeof(*v->piece), piece_order);
	for (size_t i = 1; i < v->count; i++) {
		if (piece_follows(&v->piece[count], &v->piece[i])) {
			v->piece[count].last = v->piece[i].last;
		} else {
			v->piece[++count] = v->piece[i];
		}
	}
	v->count = count + 1;
}

static struct view seen;

void view_begin(void)
{
	seen.count = 0;
}

void view_see(const struct machine_leaf *leaf)
{
	struct piece piece = {
		.gpa = leaf->gpa,
		.last = leaf->gpa + ((UINT64_C(1) << leaf->lg2) - 1),
		.hpa = leaf->hpa,
		.prot = leaf->prot,
		.mem = leaf->mem,
	};

	if (seen.count > 0 && piece_follows(&seen.piece[seen.count - 1], &piece)) {
		seen.piece[seen.count - 1].last = piece.last;
	} else {
		view_add(&seen, &piece);
	}
}

void view_take(struct view *v)
{
	memset(v, 0, sizeof(*v));
	for (size_t i = 0; i < seen.count; i++) {
		view_add(v, &seen.piece[i]);
	}
}

void view_free(struct view *v)
{
	free(v->piece);
	memset(v, 0, sizeof(*v));
}

/* Cuts pieces in two where one of them spans the boundary before gpa. */
static void view_cut(struct view *v, uint64_t gpa)
{
	for (size_t i = 0; i < v->count; i++) {
		struct piece *p = &v->piece[i];
		struct piece tail = *p;

		if (p->gpa < gpa && p->last >= gpa) {
			tail.gpa = gpa;
			tail.hpa += gpa - p->gpa;
			p->last = gpa - 1;
			view_add(v, &tail);
			return;
		}
	}
}

static bool is_in(const struct piece *p, uint64_t gpa, uint64_t len)
{
	return p->gpa >= gpa && p->last <= gpa + (len - 1);
}

void view_clear(struct view *v, uint64_t gpa, uint64_t len)
{
	view_cut(v, gpa);
	view_cut(v, gpa + len);
	for (size_t i = v->count; i-- > 0;) {
		if (is_in(&v->piece[i], gpa, len)) {
			v->piece[i] = v->piece[--v->count];
		}
	}
	view_tidy(v);
}

void view_protect(struct view *v, uint64_t gpa, uint64_t len, unsigned prot)
{
	view_cut(v, gpa);
	view_cut(v, gpa + len);
	for (size_t i = 0; i < v->count; i++) {
		if (is_in(&v->piece[i], gpa, len)) {
			v->piece[i].prot = prot;
		}
	}
	view_tidy(v);
}

void view_map(struct view *v, uint64_t gpa, uint64_t hpa, uint64_t len, unsigned prot,
	      enum s2_mem mem)
{
	struct piece piece = {gpa, gpa + (len - 1), hpa, prot, mem};

	view_clear(v, gpa, len);
	view_add(v, &piece);
	view_tidy(v);
}

void view_check(const struct view *v)
{
	settle();
	must_eq(seen.count, v->count);
	for (size_t i = 0; i < v->count; i++) {
		must_eq(seen.piece[i].gpa, v->piece[i].gpa);
		must_eq(seen.piece[i].last, v->piece[i].last);
		must_eq(seen.piece[i].hpa, v->piece[i].hpa);
		must_eq(seen.piece[i].prot, v->piece[i].prot);
		must_eq(seen.piece[i].mem, v->piece[i].mem);
	}
}

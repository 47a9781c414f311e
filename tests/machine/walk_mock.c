/* SPDX-License-Identifier: BSD-2-Clause */
/* The mock's MMU, after the comment at the top of <stage2/mock.h>. */
#include "walk.h"

#include <stage2/mock.h>

static bool mock_start(const struct machine *m, uint8_t *top, uint64_t *root_items)
{
	if (m->gpa_bits < 32 || m->gpa_bits > 48) {
		return false;
	}
	*top = m->gpa_bits <= 38 ? 2 : 3;
	*root_items = UINT64_C(1) << (m->gpa_bits - (*top == 2 ? 29 : 35));
	return true;
}

static void mock_leaf(struct item *out, uint64_t rights, uint64_t kind)
{
	out->kind = ITEM_LEAF;
	out->prot = (uint8_t)rights;
	out->mem = (uint8_t)kind;
	if (kind >= S2_MEM_COUNT) {
		item_wrong(out, "mock: no such kind of memory");
	}
	if (rights == 0) {
		item_wrong(out, "mock: a leaf without rights");
	}
	if ((rights & S2_RW) == S2_WRITE) {
		item_wrong(out, "mock: write without read");
	}
}

static void mock_table(struct item *out, uint64_t hpa, uint64_t items)
{
	out->kind = ITEM_TABLE;
	out->hpa = hpa;
	out->last = (uint16_t)(items - 1);
	out->prot = S2_PROT_ALL;
	out->accessed = true;
}

/* used: all bits that have a name. */
static void mock_unused(struct item *out, uint64_t value, uint64_t used)
{
	if ((value & ~used) != 0) {
		item_wrong(out, "mock: bits without a name are set");
	}
}

static void mock_decode_0(uint64_t v, struct item *out)
{
	if (bits(v, 2, 2) == 0) {
		return;
	}
	mock_leaf(out, bits(v, 11, 8), bits(v, 14, 12));
	out->group = bits(v, 15, 15) != 0;
	out->accessed = bits(v, 16, 16) == 0;
	out->dirty = bits(v, 17, 17) != 0;
	out->hpa = bits(v, 61, 26) << 12;
	mock_unused(out, v, mask(61, 26) | mask(17, 8) | mask(2, 2));
}

static void mock_decode_1(uint64_t v, uint64_t index, struct item *out)
{
	if (bits(v, 63, 63) == 0) {
		return;
	}
	if (bits(v, 7, 7) != 0) {
		mock_table(out, bits(v, 51, 16) << 12, 128);
		mock_unused(out, v, mask(63, 63) | mask(51, 16) | mask(7, 7));
		return;
	}
	mock_leaf(out, bits(v, 59, 56) ^ 15, bits(v, 62, 60));
	out->group = bits(v, 2, 2) != 0;
	out->accessed = bits(v, 1, 1) == 0;
	out->dirty = bits(v, 0, 0) != 0;
	out->hpa = (mask(28, 0) - bits(v, 42, 14)) << 19;
	mock_unused(out, v, mask(63, 56) | mask(42, 11) | mask(2, 0));
	if (bits(v, 13, 11) != (out->group ? index & 7 : 0)) {
		item_wrong(out, "mock: another place in the group");
	}
}

static void mock_decode_2(uint64_t v, struct item *out)
{
	if (bits(v, 0, 0) == 0) {
		return;
	}
	if (bits(v, 1, 1) == 0) {
		mock_table(out, bits(v, 63, 29) << 13, 1024);
		mock_unused(out, v, mask(63, 29) | 1);
		return;
	}
	mock_leaf(out, bits(v, 8, 5), bits(v, 4, 2));
	out->accessed = bits(v, 9, 9) == 0;
	out->dirty = bits(v, 10, 10) != 0;
	out->hpa = bits(v, 63, 45) << 29;
	mock_unused(out, v, mask(63, 45) | mask(10, 0));
}

static void mock_decode_3(uint64_t v, struct item *out)
{
	if (bits(v, 62, 62) != 0) {
		mock_table(out, bits(v, 46, 12) << 13, 64);
		mock_unused(out, v, mask(62, 62) | mask(46, 12));
	}
}

static void mock_decode(const struct machine *m, unsigned level, uint64_t index, uint64_t value,
			struct item *out)
{
	(void)m;
	if (level == 0) {
		mock_decode_0(value, out);
	} else if (level == 1) {
		mock_decode_1(value, index, out);
	} else if (level == 2) {
		mock_decode_2(value, out);
	} else {
		mock_decode_3(value, out);
	}
}

/* NA and D, by level. */
static uint64_t mock_marks_mask(unsigned level)
{
	static const uint64_t mark[] = {3u << 16, 3u, 3u << 9, 0};

	return mark[level];
}

static uint64_t mock_rights_mask(unsigned level)
{
	static const uint64_t rights[] = {UINT64_C(15) << 8, UINT64_C(15) << 56, UINT64_C(15) << 5,
					  0};

	return rights[level];
}

static uint64_t mock_group_same(const struct machine *m, unsigned level, unsigned n, uint64_t value)
{
	(void)m;
	if (level == 1) {
		value -= (uint64_t)n << 11;
	}
	return value & ~mock_marks_mask(level);
}

static unsigned mock_marks(const struct machine *m)
{
	return (m->features & S2_MOCK_MACHINE_MARKS) != 0 ? MARK_ACCESSED | MARK_DIRTY : 0;
}

static uint64_t mock_set_marks(const struct machine *m, unsigned level, uint64_t value,
			       unsigned marks)
{
	static const uint8_t not_accessed[] = {16, 1, 9}, dirty[] = {17, 0, 10};

	(void)m;
	if ((marks & MARK_ACCESSED) != 0) {
		value &= ~(UINT64_C(1) << not_accessed[level]);
	}
	if ((marks & MARK_DIRTY) != 0) {
		value |= UINT64_C(1) << dirty[level];
	}
	return value;
}

static bool mock_caches_none(const struct machine *m)
{
	return (m->features & S2_MOCK_FLUSH_ON_MAP) != 0;
}

static const char *mock_must_break(const struct machine *m, unsigned level, uint64_t old,
				   uint64_t new_value)
{
	uint64_t may = mock_rights_mask(level) | mock_marks_mask(level);
	struct item was = {.kind = ITEM_NONE}, is = {.kind = ITEM_NONE};

	mock_decode(m, level, bits(old, 13, 11), old, &was);
	mock_decode(m, level, bits(new_value, 13, 11), new_value, &is);
	if (was.kind == ITEM_LEAF && is.kind == ITEM_LEAF && ((old ^ new_value) & ~may) == 0) {
		return NULL;
	}
	return "live to live: no break before the make";
}

const struct machine_ops ops_mock = {
	.name = "mock",
	.big_endian = true,
	.rubbish = UINT64_C(0xc0000000c0000707),
	.levels = 4,
	.one_size = true,
	.lg2 = {12, 19, 29, 35},
	.items_lg2 = {7, 10, 6, 13},
	.group_lg2 = {2, 3, 0, 0},
	.start = mock_start,
	.decode = mock_decode,
	.group_same = mock_group_same,
	.marks = mock_marks,
	.set_marks = mock_set_marks,
	.caches_none = mock_caches_none,
	.must_break = mock_must_break,
};

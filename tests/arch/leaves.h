/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What holds for the leaves of every format, whatever its bits: what can be said is said and read
 * back, what cannot be said is refused, and no two valid items say the same. And a space to map one
 * leaf in, to see its bits after each call.
 */
#ifndef TESTS_ARCH_LEAVES_H
#define TESTS_ARCH_LEAVES_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <stage2/fmt.h>
#include <stage2/map.h>

/* A space of a format as far as the format has made it: no tables. */
static inline enum s2_err leaves_init(struct s2_space *s, const struct s2_fmt *fmt,
				      unsigned gpa_bits, unsigned hpa_bits, uint64_t features)
{
	memset(s, 0, sizeof(*s));
	s->fmt = fmt;
	s->config.fmt = fmt;
	s->config.gpa_bits = (uint8_t)gpa_bits;
	s->config.hpa_bits = (uint8_t)hpa_bits;
	s->config.features = features;
	return fmt->init(s);
}

/* Do two items that are next to a gpa of 0 say the same? */
static inline bool leaves_equal(const struct s2_space *s, uint64_t a, uint64_t b, unsigned level)
{
	struct s2_leaf x = {.mapped = false};
	struct s2_leaf y = {.mapped = false};

	s->fmt->decode(s, a, level, &x);
	s->fmt->decode(s, b, level, &y);
	return x.prot == y.prot && x.mem == y.mem && x.group == y.group &&
	       x.accessed == y.accessed && x.dirty == y.dirty &&
	       s->fmt->hpa(s, a, level, 0) == s->fmt->hpa(s, b, level, 0);
}

/* A leaf with any bit changed is not valid, or a table, or says something else. */
static inline void leaves_flip(const struct s2_space *s, uint64_t v, unsigned level)
{
	struct s2_leaf leaf = {.mapped = false};
	uint64_t place = 0; /* bits that count the items of a group */

	s->fmt->decode(s, v, level, &leaf);
	if (leaf.group) {
		place = s->fmt->group_step(level) * ((UINT64_C(1) << s->fmt->group_lg2(level)) - 1);
	}
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t other = v ^ (UINT64_C(1) << bit);

		if (s->fmt->valid(s, other, level) && leaves_equal(s, v, other, level) &&
		    !((place >> bit) & 1)) {
			ck_abort_msg("%s level %u: %016llx bit %u", s->fmt->name, level,
				     (unsigned long long)v, bit);
		}
	}
}

static inline void leaves_expect(const struct s2_space *s, uint64_t v, unsigned level, uint64_t gpa,
				 uint64_t hpa, unsigned prot, unsigned mem, bool group)
{
	struct s2_leaf leaf = {.mapped = false};

	ck_assert_msg(s->fmt->valid(s, v, level), "%s level %u: %016llx", s->fmt->name, level,
		      (unsigned long long)v);
	s->fmt->decode(s, v, level, &leaf);
	ck_assert_uint_eq(leaf.prot, prot);
	ck_assert_uint_eq(leaf.mem, mem);
	ck_assert_int_eq(leaf.group, group);
	ck_assert(leaf.accessed);
	ck_assert(leaf.dirty);
	ck_assert_uint_eq(s->fmt->hpa(s, v, level, gpa), hpa);
}

/* The leaf for the first of the addresses; its group, if hpa and gpa are aligned to one. */
static inline void leaves_round_trip(const struct s2_space *s, uint64_t attr, unsigned prot,
				     unsigned mem, unsigned level, uint64_t hpa)
{
	const struct s2_fmt *fmt = s->fmt;
	uint64_t size = UINT64_C(1) << fmt->lg2(level);
	uint64_t group_size = size << fmt->group_lg2(level);
	uint64_t v = fmt->leaf(s, attr, hpa, level);

	leaves_expect(s, v, level, size * 3, hpa, prot, mem, false);
	leaves_flip(s, v, level);
	if ((s->leaf_kinds[level] & S2_KIND_GROUP) == 0 || (hpa & (group_size - 1)) != 0) {
		return;
	}
	v = fmt->group(v, level);
	leaves_flip(s, v, level);
	for (uint64_t at = 0; at < group_size; at += size) {
		leaves_expect(s, v, level, 5 * group_size + at, hpa + at, prot, mem, true);
		v += fmt->group_step(level);
	}
}

/* Every set of rights, kind of memory, level, and the addresses at the ends and in the middle. */
static inline void leaves_sweep(const struct s2_space *s,
				bool (*can_say)(uint64_t features, unsigned prot, unsigned mem))
{
	for (unsigned i = 0; i < (S2_PROT_ALL + 1) * S2_MEM_COUNT; i++) {
		unsigned prot = i % (S2_PROT_ALL + 1);
		unsigned mem = i / (S2_PROT_ALL + 1);
		uint64_t attr = 0;
		bool said;

		if (prot == 0) {
			continue;
		}
		said = s->fmt->attr(s, prot, mem, &attr);
		ck_assert_msg(said == can_say(s->config.features, prot, mem),
			      "%s features %llx prot %x mem %u", s->fmt->name,
			      (unsigned long long)s->config.features, prot, mem);
		for (unsigned level = 0; said && level <= s->top; level++) {
			uint64_t all = s->hpa_last & ~((UINT64_C(1) << s->fmt->lg2(level)) - 1);

			if ((s->leaf_kinds[level] & S2_KIND_SINGLE) == 0) {
				continue;
			}
			leaves_round_trip(s, attr, prot, mem, level, 0);
			leaves_round_trip(s, attr, prot, mem, level, all);
			leaves_round_trip(s, attr, prot, mem, level,
					  all & UINT64_C(0x5555555555555555));
			leaves_round_trip(s, attr, prot, mem, level,
					  all & UINT64_C(0xaaaaaaaaaaaaaaaa));
		}
	}
}

/* Index widths tile the address, tables hold their items, none has no upper bits. */
static inline void leaves_geometry(const struct s2_space *s)
{
	const struct s2_fmt *fmt = s->fmt;

	ck_assert_uint_lt(s->top, fmt->levels);
	ck_assert_uint_eq(fmt->lg2(0), S2_PAGE_LG2);
	for (unsigned level = 0; level <= s->top; level++) {
		ck_assert_uint_eq(fmt->none(level) >> 12, 0);
		ck_assert(fmt->valid(s, fmt->none(level), level));
		ck_assert_uint_ge(fmt->table_bytes(level), (size_t)8 << fmt->items_lg2(level));
		if (level < s->top) {
			ck_assert_uint_eq(fmt->lg2(level) + fmt->items_lg2(level),
					  fmt->lg2(level + 1));
		}
	}
	/* The root reaches the last address, and no item of it is needed for more. */
	ck_assert_uint_lt(s->last >> fmt->lg2(s->top), s->root_size / sizeof(uint64_t));
}

/* A real space, on a machine that caches nothing. */
struct leaves_space {
	struct s2_space s;
	struct s2_gather g;
	struct s2_mmu mmu;
};

static inline void *leaves_alloc(void *cookie, size_t size)
{
	(void)cookie;
	return aligned_alloc(size, size);
}

static inline void leaves_free(void *cookie, void *table, size_t size)
{
	(void)cookie;
	(void)size;
	free(table);
}

static inline void leaves_flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	(void)cookie;
	(void)flush;
	(void)count;
}

static inline void leaves_invalidate(void *cookie, const struct s2_place *place, size_t count)
{
	(void)cookie;
	(void)place;
	(void)count;
}

static inline bool leaves_replace(void *cookie, const struct s2_place *place, uint64_t old,
				  uint64_t new_value)
{
	const struct leaves_space *l = cookie;
	bool big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
	bool swap = big != l->s.fmt->big_endian;

	if (*place->item != (swap ? __builtin_bswap64(old) : old)) {
		return false;
	}
	*place->item = swap ? __builtin_bswap64(new_value) : new_value;
	return true;
}

/* The one leaf at gpa 0 of this size. */
static inline void leaves_map(struct leaves_space *l, const struct s2_fmt *fmt, unsigned gpa_bits,
			      uint64_t features, uint64_t hpa, unsigned lg2, unsigned prot)
{
	struct s2_config config = {
		.fmt = fmt,
		.features = features,
		.gpa_bits = (uint8_t)gpa_bits,
		.tables = {.alloc = leaves_alloc, .free = leaves_free},
		.mmu = &l->mmu,
		.mmu_cookie = l,
	};
	struct s2_mmu mmu = {
		.flush = leaves_flush,
		.invalidate = leaves_invalidate,
		.replace = leaves_replace,
	};
	struct s2_run run = {s2_gpa(0), s2_hpa(hpa), UINT64_C(1) << lg2, (uint8_t)(lg2 - 12)};

	l->mmu = mmu;
	ck_assert_int_eq(s2_space_init(&l->s, &config), S2_OK);
	s2_gather_init(&l->g, &l->s);
	ck_assert_int_eq(s2_map(&l->s, &run, 1, prot, S2_MEM_NORMAL, &l->g, NULL), S2_OK);
}

static inline void leaves_unmap(struct leaves_space *l)
{
	s2_gather_fini(&l->g);
	s2_space_fini(&l->s);
}

struct leaves_found {
	const struct s2_fmt *fmt;
	uint64_t value;
};

/* The bytes in memory are in the format's order, whatever the processor's. */
static inline bool leaves_first(void *cookie, const struct s2_item *item)
{
	struct leaves_found *found = cookie;
	unsigned char bytes[8];
	uint64_t value = 0;

	if (item->kind != S2_ITEM_LEAF) {
		return true;
	}
	memcpy(bytes, item->place.item, sizeof(bytes));
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		value = value << 8 | bytes[found->fmt->big_endian ? i : 7 - i];
	}
	ck_assert_uint_eq(value, item->value);
	found->value = value;
	return false;
}

/* The bits of the first leaf. */
static inline uint64_t leaves_value(const struct leaves_space *l)
{
	struct leaves_found found = {l->s.fmt, 0};

	ck_assert(!s2_visit(&l->s, leaves_first, &found));
	ck_assert(s2_check(&l->s, NULL));
	return found.value;
}

/* What can be done to it. */
static inline uint64_t leaves_protect(struct leaves_space *l, unsigned lg2, unsigned prot)
{
	struct s2_range range = s2_range(s2_gpa(0), UINT64_C(1) << lg2);

	ck_assert_int_eq(s2_protect(&l->s, range, prot, &l->g, NULL), S2_OK);
	return leaves_value(l);
}

static inline uint64_t leaves_age(struct leaves_space *l, unsigned lg2)
{
	struct s2_range range = s2_range(s2_gpa(0), UINT64_C(1) << lg2);
	uint64_t young;

	ck_assert_int_eq(s2_age(&l->s, range, &l->g, &young), S2_OK);
	return leaves_value(l);
}

static inline uint64_t leaves_clean(struct leaves_space *l, unsigned lg2)
{
	struct s2_range range = s2_range(s2_gpa(0), UINT64_C(1) << lg2);

	ck_assert_int_eq(s2_dirty_clear(&l->s, range, &l->g), S2_OK);
	return leaves_value(l);
}

static inline uint64_t leaves_touch(struct leaves_space *l, bool write)
{
	ck_assert_int_eq(s2_touch(&l->s, s2_gpa(0), write, &l->g), S2_OK);
	return leaves_value(l);
}

/* Splitting moves no byte. */
static inline uint64_t leaves_split(struct leaves_space *l, unsigned lg2, uint8_t to)
{
	struct s2_range range = s2_range(s2_gpa(0), UINT64_C(1) << lg2);
	uint64_t step = (range.len - 1) / 19;
	s2_hpa_t first, hpa;

	ck_assert_int_eq(s2_lookup(&l->s, s2_gpa(0), &first), S2_OK);
	ck_assert_int_eq(s2_split(&l->s, range, to, &l->g, NULL), S2_OK);
	for (uint64_t at = 0; at < range.len; at += step) {
		ck_assert_int_eq(s2_lookup(&l->s, s2_gpa(at), &hpa), S2_OK);
		ck_assert_uint_eq(hpa.val, first.val + at);
	}
	return leaves_value(l);
}

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The mock format; <stage2/mock.h> defines it. */
#include <stage2/mock.h>
#include <stage2/space.h>

#define FMT_NAME "mock"
#define FMT_SYMBOL s2_fmt_mock
#define FMT_BIG_ENDIAN 1
#define FMT_LEVELS 4

#define HPA_BITS 48u
#define BIT(n) (UINT64_C(1) << (n))
#define MASK(hi, lo) ((UINT64_MAX >> (63 - (hi))) & (UINT64_MAX << (lo)))
#define TABLE_T1 BIT(7)
#define LEAF_L2 BIT(1)
#define POS_SHIFT 11
#define POS MASK(13, 11)

/* attr, the same for all levels: rights, and the kind above them. */
#define ATTR_MEM_SHIFT 4

static inline uint64_t mock_by_level(unsigned level, uint64_t l0, uint64_t l1, uint64_t l2,
				     uint64_t l3)
{
	return level == 0 ? l0 : level == 1 ? l1 : level == 2 ? l2 : l3;
}

static inline unsigned mock_pick(unsigned level, unsigned l0, unsigned l1, unsigned l2)
{
	return level == 0 ? l0 : level == 1 ? l1 : l2;
}

static inline uint64_t mock_v(unsigned level)
{
	return mock_by_level(level, BIT(2), BIT(63), BIT(0), BIT(62));
}

static inline uint64_t mock_b(unsigned level)
{
	return mock_by_level(level, BIT(5), BIT(3), BIT(11), BIT(6));
}

static inline uint64_t mock_g(unsigned level)
{
	return mock_by_level(level, BIT(15), BIT(2), 0, 0);
}

static inline uint64_t mock_na(unsigned level)
{
	return mock_by_level(level, BIT(16), BIT(1), BIT(9), 0);
}

static inline uint64_t mock_d(unsigned level)
{
	return mock_by_level(level, BIT(17), BIT(0), BIT(10), 0);
}

static inline unsigned mock_rights_shift(unsigned level)
{
	return mock_pick(level, 8, 56, 5);
}

static inline unsigned mock_mem_shift(unsigned level)
{
	return mock_pick(level, 12, 60, 2);
}

static inline uint64_t mock_frame_mask(unsigned level)
{
	return mock_by_level(level, MASK(61, 26), MASK(42, 14), MASK(63, 45), 0);
}

static inline uint64_t mock_table_mask(unsigned level)
{
	return mock_by_level(level, 0, MASK(51, 16), MASK(63, 29), MASK(46, 12));
}

/* RIGHTS in place. */
static inline uint64_t mock_rights(uint64_t prot, unsigned level)
{
	return (level == 1 ? ~prot & S2_PROT_ALL : prot) << mock_rights_shift(level);
}

static inline unsigned mock_prot(uint64_t v, unsigned level)
{
	return (unsigned)((level == 1 ? ~v : v) >> mock_rights_shift(level)) & S2_PROT_ALL;
}

/* FRAME in place; level 1 stores the complement. */
static inline uint64_t mock_frame(uint64_t hpa, unsigned level)
{
	switch (level) {
	case 0:
		return (hpa >> 12) << 26;
	case 1:
		return MASK(42, 14) - ((hpa >> 19) << 14);
	default:
		return (hpa >> 29) << 45;
	}
}

/* Of the item, or for an item of a group: of the group. */
static inline uint64_t mock_frame_hpa(uint64_t v, unsigned level)
{
	switch (level) {
	case 0:
		return (v & MASK(61, 26)) >> 26 << 12;
	case 1:
		return (~v & MASK(42, 14)) >> 14 << 19;
	default:
		return v >> 45 << 29;
	}
}

static inline unsigned fmt_lg2(unsigned level)
{
	return level == 3 ? 35 : mock_pick(level, 12, 19, 29);
}

static inline unsigned fmt_items_lg2(unsigned level)
{
	return level == 3 ? 9 : mock_pick(level, 7, 10, 6);
}

static inline size_t fmt_table_bytes(unsigned level)
{
	return level == 0 ? 4096 : 8192;
}

static inline unsigned fmt_group_lg2(unsigned level)
{
	return level == 0 ? 2 : level == 1 ? 3 : 0;
}

static inline enum s2_err fmt_init(struct s2_space *s)
{
	unsigned gpa_bits = s->config.gpa_bits;
	unsigned hpa_bits = s->config.hpa_bits ? s->config.hpa_bits : HPA_BITS;

	if (gpa_bits < 32 || gpa_bits > 48 || hpa_bits < 30 || hpa_bits > HPA_BITS ||
	    (s->config.features & ~(uint64_t)S2_MOCK_FEATURES_ALL)) {
		return S2_ERR_FORMAT;
	}
	s->top = gpa_bits <= 38 ? 2 : 3;
	s->root_size = (size_t)sizeof(uint64_t) << (gpa_bits - fmt_lg2(s->top));
	s->last = BIT(gpa_bits) - 1;
	s->hpa_last = BIT(hpa_bits) - 1;
	s->leaf_kinds[0] = S2_KIND_SINGLE | S2_KIND_GROUP;
	s->leaf_kinds[1] = S2_KIND_SINGLE | S2_KIND_GROUP;
	s->leaf_kinds[2] = S2_KIND_SINGLE;
	return S2_OK;
}

static inline uint64_t fmt_none(unsigned level)
{
	return mock_by_level(level, 0, 0x401, 0x010, 0);
}

static inline bool fmt_is_leaf(uint64_t v, unsigned level)
{
	switch (level) {
	case 0:
		return v & mock_v(0);
	case 1:
		return (v & (mock_v(1) | TABLE_T1)) == mock_v(1);
	case 2:
		return (v & (mock_v(2) | LEAF_L2)) == (mock_v(2) | LEAF_L2);
	default:
		return false;
	}
}

static inline bool fmt_is_table(uint64_t v, unsigned level)
{
	switch (level) {
	case 0:
		return false;
	case 1:
		return (v & (mock_v(1) | TABLE_T1)) == (mock_v(1) | TABLE_T1);
	case 2:
		return (v & (mock_v(2) | LEAF_L2)) == mock_v(2);
	default:
		return v & mock_v(3);
	}
}

static inline uint64_t fmt_table(const struct s2_space *s, uint64_t hpa, unsigned level)
{
	(void)s;
	switch (level) {
	case 1:
		return mock_v(1) | TABLE_T1 | hpa << 4;
	case 2:
		return mock_v(2) | hpa << 16;
	default:
		return mock_v(3) | hpa >> 1;
	}
}

static inline uint64_t fmt_table_hpa(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	v &= mock_table_mask(level);
	switch (level) {
	case 1:
		return v >> 4;
	case 2:
		return v >> 16;
	default:
		return v << 1;
	}
}

static inline bool fmt_attr(const struct s2_space *s, unsigned prot, unsigned mem, uint64_t *attr)
{
	(void)s;
	if ((prot & S2_RW) == S2_WRITE) {
		return false;
	}
	*attr = prot | (uint64_t)mem << ATTR_MEM_SHIFT;
	return true;
}

static inline uint64_t fmt_leaf(const struct s2_space *s, uint64_t attr, uint64_t hpa,
				unsigned level)
{
	(void)s;
	return mock_v(level) | (level == 2 ? LEAF_L2 : 0) | mock_rights(attr & S2_PROT_ALL, level) |
	       attr >> ATTR_MEM_SHIFT << mock_mem_shift(level) | mock_d(level) |
	       mock_frame(hpa, level);
}

static inline uint64_t fmt_step(unsigned level)
{
	return mock_by_level(level, BIT(26), -BIT(14), BIT(45), 0);
}

static inline uint64_t fmt_group(uint64_t v, unsigned level)
{
	return v | mock_g(level);
}

static inline uint64_t fmt_group_step(unsigned level)
{
	return level == 1 ? BIT(POS_SHIFT) : 0;
}

static inline uint64_t fmt_hpa_bits(unsigned level)
{
	return mock_frame_mask(level);
}

static inline bool fmt_is_group(uint64_t v, unsigned level)
{
	return v & mock_g(level);
}

static inline uint64_t fmt_hpa(const struct s2_space *s, uint64_t v, unsigned level, uint64_t gpa)
{
	uint64_t hpa = mock_frame_hpa(v, level);
	uint64_t within = (BIT(fmt_group_lg2(level)) - 1) << fmt_lg2(level);

	(void)s;
	return fmt_is_group(v, level) ? hpa | (gpa & within) : hpa;
}

static inline unsigned mock_mem(uint64_t v, unsigned level)
{
	return (unsigned)(v >> mock_mem_shift(level)) & 7;
}

static inline uint64_t fmt_move(const struct s2_space *s, uint64_t v, unsigned level, uint64_t hpa,
				unsigned to)
{
	uint64_t attr = mock_prot(v, level) | (uint64_t)mock_mem(v, level) << ATTR_MEM_SHIFT;
	uint64_t out = fmt_leaf(s, attr, hpa, to);

	out |= v & mock_na(level) ? mock_na(to) : 0;
	return v & mock_d(level) ? out : out & ~mock_d(to);
}

static inline uint64_t fmt_protect(const struct s2_space *s, uint64_t v, uint64_t attr,
				   unsigned level)
{
	(void)s;
	v &= ~((uint64_t)S2_PROT_ALL << mock_rights_shift(level));
	return v | mock_rights(attr & S2_PROT_ALL, level);
}

static inline bool fmt_keeps_accessed(const struct s2_space *s)
{
	(void)s;
	return true;
}

static inline bool fmt_is_accessed(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	return !(v & mock_na(level));
}

static inline uint64_t fmt_set_accessed(const struct s2_space *s, uint64_t v, unsigned level,
					bool on)
{
	(void)s;
	return on ? v & ~mock_na(level) : v | mock_na(level);
}

static inline bool fmt_is_writable(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	return mock_prot(v, level) & S2_WRITE;
}

static inline bool fmt_is_dirty(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	return v & mock_d(level);
}

static inline uint64_t fmt_set_dirty(const struct s2_space *s, uint64_t v, unsigned level, bool on)
{
	(void)s;
	return on ? v | mock_d(level) : v & ~mock_d(level);
}

static inline bool fmt_machine_writes(const struct s2_space *s, uint64_t v, unsigned level)
{
	if (!(s->config.features & S2_MOCK_MACHINE_MARKS)) {
		return false;
	}
	return !fmt_is_accessed(s, v, level) ||
	       (fmt_is_writable(s, v, level) && !fmt_is_dirty(s, v, level));
}

static inline void fmt_decode(const struct s2_space *s, uint64_t v, unsigned level,
			      struct s2_leaf *out)
{
	out->prot = (uint8_t)mock_prot(v, level);
	out->mem = (uint8_t)mock_mem(v, level);
	out->group = fmt_is_group(v, level);
	out->accessed = fmt_is_accessed(s, v, level);
	out->dirty = fmt_is_dirty(s, v, level);
}

static inline enum s2_replace fmt_replace(const struct s2_space *s, unsigned level, bool group)
{
	(void)s;
	(void)level;
	(void)group;
	return S2_REPLACE_BREAK;
}

static inline bool fmt_flush_on_map(const struct s2_space *s)
{
	return s->config.features & S2_MOCK_FLUSH_ON_MAP;
}

static inline bool fmt_purges(void)
{
	return false;
}

static inline uint64_t fmt_break(uint64_t v, unsigned level)
{
	return v ^ (mock_v(level) | mock_b(level));
}

static inline bool fmt_is_broken(uint64_t v, unsigned level)
{
	return (v & (mock_v(level) | mock_b(level))) == mock_b(level);
}

static inline uint64_t fmt_unbreak(uint64_t v, unsigned level)
{
	return v ^ (mock_v(level) | mock_b(level));
}

static inline uint64_t fmt_fade(uint64_t v, unsigned level)
{
	(void)level;
	return v;
}

static inline bool mock_leaf_valid(const struct s2_space *s, uint64_t v, unsigned level)
{
	bool group = fmt_is_group(v, level);
	unsigned span_lg2 = fmt_lg2(level) + (group ? fmt_group_lg2(level) : 0);
	unsigned prot = mock_prot(v, level);
	uint64_t hpa = mock_frame_hpa(v, level);
	uint64_t known = mock_v(level) | (level == 2 ? LEAF_L2 : 0) | mock_g(level) |
			 mock_na(level) | mock_d(level) |
			 (uint64_t)S2_PROT_ALL << mock_rights_shift(level) |
			 UINT64_C(7) << mock_mem_shift(level) | mock_frame_mask(level) |
			 (level == 1 && group ? POS : 0);

	return !(v & ~known) && prot && (prot & S2_RW) != S2_WRITE &&
	       mock_mem(v, level) < S2_MEM_COUNT && !(hpa & (BIT(span_lg2) - 1)) &&
	       (hpa | (BIT(span_lg2) - 1)) <= s->hpa_last;
}

static inline bool fmt_valid(const struct s2_space *s, uint64_t v, unsigned level)
{
	if (fmt_is_broken(v, level)) {
		v = fmt_unbreak(v, level);
	}
	if (fmt_is_leaf(v, level)) {
		return mock_leaf_valid(s, v, level);
	}
	if (fmt_is_table(v, level)) {
		uint64_t hpa = fmt_table_hpa(s, v, level);

		return v == fmt_table(s, hpa, level) && !(hpa & (fmt_table_bytes(level - 1) - 1)) &&
		       hpa <= s->hpa_last;
	}
	return v == fmt_none(level);
}

/* Too odd for numbers. */
static inline void fmt_walk(const struct s2_space *s, struct s2_walk *walk)
{
	(void)s;
	(void)walk;
}

#include <stage2/engine/engine.h>

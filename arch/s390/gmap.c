/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s390 DAT tables. PoP chapter 3, "Translation Tables": region-table, segment-table and page-table
 * entries.
 */
#include <stage2/s390.h>
#include <stage2/space.h>

#define FMT_NAME "s390"
#define FMT_SYMBOL s2_fmt_s390
#define FMT_BIG_ENDIAN 1
#define FMT_LEVELS 5

#define BIT(n) (UINT64_C(1) << (n))

/* In pages and in large leaves. */
#define DAT_P UINT64_C(0x200)	/* DAT protection: no stores */
#define DAT_IEP UINT64_C(0x100) /* instruction-execution protection */
#define DAT_SOFT_PRESENT UINT64_C(1)

/* Page-table entry; bits 7:0 are for programs. Bit 11 must be 0. */
#define PTE_I UINT64_C(0x400)
#define PTE_SOFT_YOUNG UINT64_C(4)
#define PTE_SOFT_DIRTY UINT64_C(8)
#define PTE_SOFT_READ UINT64_C(0x10)
#define PTE_SOFT_WRITE UINT64_C(0x20)
#define PTE_SOFT (PTE_SOFT_YOUNG | PTE_SOFT_DIRTY | PTE_SOFT_READ | PTE_SOFT_WRITE)

/*
 * Segment-table and region-table entry. A leaf has FC 1, and AV (bit 16) 0, so that the machine
 * ignores the access-control and fetch-protection bits, 15:11: what PTE_SOFT has is there. TT says
 * which table the item is in: segment 0, region third 1, second 2, first 3.
 */
#define CRSTE_FC UINT64_C(0x400)
#define CRSTE_I UINT64_C(0x20)
#define CRSTE_TT_SHIFT 2
#define CRSTE_TL UINT64_C(3) /* length of the table it points to: all 2048 items */
#define CRSTE_SOFT_SHIFT 9
#define CRSTE_SOFT (PTE_SOFT << CRSTE_SOFT_SHIFT)

static inline unsigned fmt_lg2(unsigned level)
{
	return level == 0 ? 12 : 9 + 11 * level; /* 20, 31, 42, 53 */
}

static inline unsigned fmt_items_lg2(unsigned level)
{
	return level == 0 ? 8 : 11;
}

static inline size_t fmt_table_bytes(unsigned level)
{
	return level == 0 ? 4096 : 16384;
}

static inline bool dat_has(const struct s2_space *s, unsigned feature)
{
	return s->config.features & feature;
}

static inline enum s2_err fmt_init(struct s2_space *s)
{
	unsigned gpa_bits = s->config.gpa_bits;
	unsigned hpa_bits = s->config.hpa_bits ? s->config.hpa_bits : 64;

	/* The root spans 11 index bits above 20, 31, 42, 53. */
	if (gpa_bits < 31 || gpa_bits > 64 || (gpa_bits - 31) % 11 != 0 || hpa_bits < 31 ||
	    hpa_bits > 64 || (s->config.features & ~(uint64_t)S2_S390_FEATURES_ALL)) {
		return S2_ERR_FORMAT;
	}
	s->top = (uint8_t)((gpa_bits - 31) / 11 + 1);
	s->root_size = fmt_table_bytes(s->top);
	s->last = UINT64_MAX >> (64 - gpa_bits);
	s->hpa_last = UINT64_MAX >> (64 - hpa_bits);
	s->leaf_kinds[0] = S2_KIND_SINGLE;
	s->leaf_kinds[1] = dat_has(s, S2_S390_EDAT1) ? S2_KIND_SINGLE : 0;
	s->leaf_kinds[2] = s->top >= 2 && dat_has(s, S2_S390_EDAT2) ? S2_KIND_SINGLE : 0;
	return S2_OK;
}

/* The table type of an item, which it must have even when it is invalid. */
static inline uint64_t dat_tt(unsigned level)
{
	return (uint64_t)(level - 1) << CRSTE_TT_SHIFT;
}

static inline uint64_t dat_invalid(unsigned level)
{
	return level == 0 ? PTE_I : CRSTE_I;
}

/* Software bits, from where they are in pages to where they are in this level. */
static inline uint64_t dat_soft(uint64_t pte_soft, unsigned level)
{
	return level == 0 ? pte_soft : pte_soft << CRSTE_SOFT_SHIFT;
}

static inline uint64_t fmt_none(unsigned level)
{
	return level == 0 ? PTE_I : CRSTE_I | dat_tt(level);
}

/* Invalid or not: a leaf that is not accessed is invalid, and is one all the same. */
static inline bool fmt_is_leaf(uint64_t v, unsigned level)
{
	return level == 0 ? v & DAT_SOFT_PRESENT : level <= 2 && (v & CRSTE_FC);
}

static inline bool fmt_is_table(uint64_t v, unsigned level)
{
	return level > 0 && !(v & (CRSTE_FC | CRSTE_I));
}

/* Region-table entries tell where in the next table items begin and end: they are all there. */
static inline uint64_t fmt_table(const struct s2_space *s, uint64_t hpa, unsigned level)
{
	(void)s;
	return hpa | dat_tt(level) | (level > 1 ? CRSTE_TL : 0);
}

static inline uint64_t fmt_table_hpa(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return v & ~UINT64_C(0xfff);
}

/* attr: as in a page. */
static inline bool fmt_attr(const struct s2_space *s, unsigned prot, unsigned mem, uint64_t *attr)
{
	unsigned exec = prot & (S2_EXEC | S2_EXEC_USER);

	if (!(prot & S2_READ) || exec == S2_EXEC || exec == S2_EXEC_USER ||
	    (!exec && !dat_has(s, S2_S390_IEP)) || mem != S2_MEM_NORMAL) {
		return false;
	}
	*attr = DAT_SOFT_PRESENT | PTE_SOFT_YOUNG | PTE_SOFT_DIRTY | PTE_SOFT_READ |
		(prot & S2_WRITE ? PTE_SOFT_WRITE : DAT_P) | (exec ? 0 : DAT_IEP);
	return true;
}

static inline uint64_t fmt_leaf(const struct s2_space *s, uint64_t attr, uint64_t hpa,
				unsigned level)
{
	(void)s;
	if (level == 0) {
		return hpa | attr;
	}
	return hpa | (attr & ~PTE_SOFT) | dat_soft(attr & PTE_SOFT, level) | CRSTE_FC |
	       dat_tt(level);
}

static inline uint64_t fmt_step(unsigned level)
{
	return BIT(fmt_lg2(level));
}

static inline uint64_t fmt_hpa(const struct s2_space *s, uint64_t v, unsigned level, uint64_t gpa)
{
	(void)s;
	(void)gpa;
	return v & ~(BIT(fmt_lg2(level)) - 1);
}

static inline uint64_t fmt_move(const struct s2_space *s, uint64_t v, unsigned level, uint64_t hpa,
				unsigned to)
{
	uint64_t soft = level == 0 ? v & PTE_SOFT : (v & CRSTE_SOFT) >> CRSTE_SOFT_SHIFT;
	uint64_t attr = soft | (v & (DAT_P | DAT_IEP | DAT_SOFT_PRESENT));

	return fmt_leaf(s, attr, hpa, to) | (v & dat_invalid(level) ? dat_invalid(to) : 0);
}

static inline bool fmt_keeps_accessed(const struct s2_space *s)
{
	(void)s;
	return true;
}

static inline bool fmt_is_accessed(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	return v & dat_soft(PTE_SOFT_YOUNG, level);
}

static inline uint64_t fmt_set_accessed(const struct s2_space *s, uint64_t v, unsigned level,
					bool on)
{
	uint64_t young = dat_soft(PTE_SOFT_YOUNG, level);

	(void)s;
	return on ? (v | young) & ~dat_invalid(level) : (v | dat_invalid(level)) & ~young;
}

static inline bool fmt_is_writable(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	return v & dat_soft(PTE_SOFT_WRITE, level);
}

static inline bool fmt_is_dirty(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	return v & dat_soft(PTE_SOFT_DIRTY, level);
}

/* Protected, unless it is writable and dirty. */
static inline uint64_t dat_protect(uint64_t v, unsigned level)
{
	uint64_t both = dat_soft(PTE_SOFT_WRITE | PTE_SOFT_DIRTY, level);

	return (v & both) == both ? v & ~DAT_P : v | DAT_P;
}

static inline uint64_t fmt_set_dirty(const struct s2_space *s, uint64_t v, unsigned level, bool on)
{
	uint64_t dirty = dat_soft(PTE_SOFT_DIRTY, level);

	(void)s;
	return dat_protect(on ? v | dirty : v & ~dirty, level);
}

static inline uint64_t fmt_protect(const struct s2_space *s, uint64_t v, uint64_t attr,
				   unsigned level)
{
	uint64_t write = dat_soft(PTE_SOFT_WRITE, level);

	(void)s;
	v &= ~(write | DAT_IEP);
	v |= dat_soft(attr & PTE_SOFT_WRITE, level) | (attr & DAT_IEP);
	return dat_protect(v, level);
}

static inline bool fmt_machine_writes(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)v;
	(void)level;
	return false;
}

static inline unsigned dat_prot(uint64_t v, unsigned level)
{
	return S2_READ | (v & dat_soft(PTE_SOFT_WRITE, level) ? S2_WRITE : 0) |
	       (v & DAT_IEP ? 0 : S2_EXEC | S2_EXEC_USER);
}

static inline void fmt_decode(const struct s2_space *s, uint64_t v, unsigned level,
			      struct s2_leaf *out)
{
	out->prot = (uint8_t)dat_prot(v, level);
	out->mem = S2_MEM_NORMAL;
	out->group = false;
	out->accessed = fmt_is_accessed(s, v, level);
	out->dirty = fmt_is_dirty(s, v, level);
}

static inline uint64_t fmt_hpa_bits(unsigned level)
{
	return ~((UINT64_C(1) << fmt_lg2(level)) - 1);
}

static inline bool fmt_valid(const struct s2_space *s, uint64_t v, unsigned level)
{
	uint64_t hpa = fmt_hpa(s, v, level, 0);
	uint64_t attr;
	uint64_t made;

	if (fmt_is_table(v, level)) {
		hpa = fmt_table_hpa(s, v, level);
		return v == fmt_table(s, hpa, level) && hpa <= s->hpa_last &&
		       !(hpa & (fmt_table_bytes(level - 1) - 1));
	}
	if (!fmt_is_leaf(v, level)) {
		return v == fmt_none(level);
	}
	/* Made anew from what it says, it is the same: then no bit says anything else. */
	if (!fmt_attr(s, dat_prot(v, level), S2_MEM_NORMAL, &attr) ||
	    (level > 0 && !dat_has(s, level == 1 ? S2_S390_EDAT1 : S2_S390_EDAT2)) ||
	    (hpa | (BIT(fmt_lg2(level)) - 1)) > s->hpa_last) {
		return false;
	}
	made = fmt_leaf(s, attr, hpa, level);
	made = fmt_set_accessed(s, made, level, fmt_is_accessed(s, v, level));
	return v == fmt_set_dirty(s, made, level, fmt_is_dirty(s, v, level));
}

/* Invalid items are not cached (PoP, "Translation-Lookaside Buffer"). */
static inline bool fmt_flush_on_map(const struct s2_space *s)
{
	(void)s;
	return false;
}

static inline enum s2_replace fmt_replace(const struct s2_space *s, unsigned level, bool group)
{
	(void)s;
	(void)level;
	(void)group;
	return S2_REPLACE_PURGE;
}

static inline bool fmt_purges(void)
{
	return true;
}

/* No groups, and nothing is ever broken. */
static inline unsigned fmt_group_lg2(unsigned level)
{
	(void)level;
	return 0;
}

static inline uint64_t fmt_group(uint64_t v, unsigned level)
{
	(void)level;
	return v;
}

static inline uint64_t fmt_group_step(unsigned level)
{
	(void)level;
	return 0;
}

static inline bool fmt_is_group(uint64_t v, unsigned level)
{
	(void)v;
	(void)level;
	return false;
}

static inline uint64_t fmt_break(uint64_t v, unsigned level)
{
	(void)level;
	return v;
}

static inline bool fmt_is_broken(uint64_t v, unsigned level)
{
	(void)v;
	(void)level;
	return false;
}

static inline uint64_t fmt_unbreak(uint64_t v, unsigned level)
{
	(void)level;
	return v;
}

static inline uint64_t fmt_fade(uint64_t v, unsigned level)
{
	(void)level;
	return v;
}

static inline void fmt_walk(const struct s2_space *s, struct s2_walk *walk)
{
	static const struct s2_walk numbers = S2_S390_WALK(0);

	(void)s;
	*walk = numbers;
}

#include <stage2/engine/engine.h>

/* SPDX-License-Identifier: BSD-2-Clause */
/* Page table entries of G-stage; <stage2/riscv.h> says what of them is used and why. */
#include <stage2/riscv.h>
#include <stage2/space.h>

#define FMT_NAME "riscv"
#define FMT_SYMBOL s2_fmt_riscv
#define FMT_BIG_ENDIAN 0
#define FMT_LEVELS 5

#define BIT(n) (UINT64_C(1) << (n))
#define MASK(hi, lo) ((UINT64_MAX >> (63 - (hi))) & (UINT64_MAX << (lo)))

/* "Sv39", figure "Sv39 page table entry"; Sv48 and Sv57 have the same. */
#define PTE_V BIT(0)
#define PTE_R BIT(1)
#define PTE_W BIT(2)
#define PTE_X BIT(3)
#define PTE_U BIT(4) /* accesses are those of U-mode ("Guest Physical Address Translation") */
#define PTE_A BIT(6) /* G, bit 5, is 0: not used in G-stage */
#define PTE_D BIT(7)
#define PTE_BROKEN BIT(8)    /* RSW, bits 9:8: for software */
#define PTE_PPN MASK(53, 10) /* bits 60:54 are reserved */
#define PTE_PBMT MASK(62, 61)
#define PTE_N BIT(63)

#define RIGHTS (PTE_R | PTE_W | PTE_X)

#define PBMT_PMA (UINT64_C(0) << 61) /* "Svpbmt", table "Encodings for PBMT field" */
#define PBMT_NC (UINT64_C(1) << 61)
#define PBMT_IO (UINT64_C(2) << 61)

/* "Svnapot", table "Page table entry encodings when pte.N=1": 64 KiB is all there is. */
#define NAPOT MASK(13, 10)
#define NAPOT_64K BIT(13)
#define NAPOT_HPA MASK(15, 12)

#define PPN_SHIFT 2 /* from an address to its place in an entry */
#define HPA_BITS 56
#define ROOT_SIZE 16384

static inline unsigned fmt_lg2(unsigned level)
{
	return 12 + 9 * level;
}

static inline unsigned fmt_items_lg2(unsigned level)
{
	(void)level;
	return 9;
}

static inline size_t fmt_table_bytes(unsigned level)
{
	(void)level;
	return 4096;
}

static inline unsigned fmt_group_lg2(unsigned level)
{
	return level == 0 ? 4 : 0;
}

static inline bool riscv_has(const struct s2_space *s, unsigned feature)
{
	return (s->config.features & feature) != 0;
}

/* "Guest Physical Address Translation": two bits more at the root than Sv39, Sv48 and Sv57 have. */
static inline enum s2_err fmt_init(struct s2_space *s)
{
	unsigned hpa_bits = s->config.hpa_bits ? s->config.hpa_bits : HPA_BITS;

	switch (s->config.gpa_bits) {
	case 41:
		s->top = 2;
		break;
	case 50:
		s->top = 3;
		break;
	case 59:
		s->top = 4;
		break;
	default:
		return S2_ERR_FORMAT;
	}
	if (hpa_bits <= S2_PAGE_LG2 || hpa_bits > HPA_BITS ||
	    (s->config.features & ~(uint64_t)S2_RISCV_FEATURES_ALL)) {
		return S2_ERR_FORMAT;
	}
	s->root_size = ROOT_SIZE;
	s->last = BIT(s->config.gpa_bits) - 1;
	s->hpa_last = BIT(hpa_bits) - 1;
	for (unsigned level = 0; level <= s->top; level++) {
		s->leaf_kinds[level] = fmt_lg2(level) <= hpa_bits ? S2_KIND_SINGLE : 0;
	}
	if (riscv_has(s, S2_RISCV_SVNAPOT)) {
		s->leaf_kinds[0] |= S2_KIND_GROUP;
	}
	return S2_OK;
}

static inline uint64_t fmt_none(unsigned level)
{
	(void)level;
	return 0;
}

/* "Virtual Address Translation Process", step 4. */
static inline bool fmt_is_leaf(uint64_t v, unsigned level)
{
	(void)level;
	return (v & PTE_V) && (v & RIGHTS);
}

static inline bool fmt_is_table(uint64_t v, unsigned level)
{
	return level > 0 && (v & (PTE_V | RIGHTS)) == PTE_V;
}

/* D, A and U of pointers are reserved. */
static inline uint64_t fmt_table(const struct s2_space *s, uint64_t hpa, unsigned level)
{
	(void)s;
	(void)level;
	return hpa >> PPN_SHIFT | PTE_V;
}

static inline uint64_t fmt_table_hpa(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return (v & PTE_PPN) << PPN_SHIFT;
}

static inline bool fmt_attr(const struct s2_space *s, unsigned prot, unsigned mem, uint64_t *attr)
{
	unsigned exec = prot & (S2_EXEC | S2_EXEC_USER);
	uint64_t kind = mem == S2_MEM_NC ? PBMT_NC : mem == S2_MEM_DEVICE ? PBMT_IO : PBMT_PMA;

	if ((prot & S2_RW) == S2_WRITE || exec == S2_EXEC || exec == S2_EXEC_USER ||
	    mem > S2_MEM_DEVICE || (kind != PBMT_PMA && !riscv_has(s, S2_RISCV_SVPBMT))) {
		return false;
	}
	*attr = PTE_V | PTE_U | PTE_A | PTE_D | kind | (prot & S2_READ ? PTE_R : 0) |
		(prot & S2_WRITE ? PTE_W : 0) | (exec ? PTE_X : 0);
	return true;
}

static inline uint64_t fmt_leaf(const struct s2_space *s, uint64_t attr, uint64_t hpa,
				unsigned level)
{
	(void)s;
	(void)level;
	return attr | hpa >> PPN_SHIFT;
}

static inline uint64_t fmt_step(unsigned level)
{
	return BIT(fmt_lg2(level) - PPN_SHIFT);
}

static inline uint64_t fmt_group(uint64_t v, unsigned level)
{
	(void)level;
	return v | PTE_N | NAPOT_64K;
}

/* All items of a group are the same. */
static inline uint64_t fmt_group_step(unsigned level)
{
	(void)level;
	return 0;
}

static inline uint64_t fmt_hpa_bits(unsigned level)
{
	(void)level;
	return PTE_PPN;
}

static inline bool fmt_is_group(uint64_t v, unsigned level)
{
	return level == 0 && (v & PTE_N);
}

static inline uint64_t fmt_hpa(const struct s2_space *s, uint64_t v, unsigned level, uint64_t gpa)
{
	uint64_t hpa = (v & PTE_PPN) << PPN_SHIFT;

	(void)s;
	return fmt_is_group(v, level) ? (hpa & ~NAPOT_HPA) | (gpa & NAPOT_HPA) : hpa;
}

static inline uint64_t fmt_move(const struct s2_space *s, uint64_t v, unsigned level, uint64_t hpa,
				unsigned to)
{
	(void)level;
	return fmt_leaf(s, v & ~(PTE_PPN | PTE_N), hpa, to);
}

static inline uint64_t fmt_protect(const struct s2_space *s, uint64_t v, uint64_t attr,
				   unsigned level)
{
	(void)s;
	(void)level;
	return (v & ~RIGHTS) | (attr & RIGHTS);
}

static inline bool fmt_keeps_accessed(const struct s2_space *s)
{
	(void)s;
	return true;
}

static inline bool fmt_is_accessed(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return v & PTE_A;
}

static inline uint64_t fmt_set_accessed(const struct s2_space *s, uint64_t v, unsigned level,
					bool on)
{
	(void)s;
	(void)level;
	return on ? v | PTE_A : v & ~PTE_A;
}

static inline bool fmt_is_writable(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return v & PTE_W;
}

static inline bool fmt_is_dirty(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return v & PTE_D;
}

static inline uint64_t fmt_set_dirty(const struct s2_space *s, uint64_t v, unsigned level, bool on)
{
	(void)s;
	(void)level;
	return on ? v | PTE_D : v & ~PTE_D;
}

/* "Virtual Address Translation Process", step 9: D only where a store is allowed. */
static inline bool fmt_machine_writes(const struct s2_space *s, uint64_t v, unsigned level)
{
	uint64_t marks = v & PTE_W ? PTE_A | PTE_D : PTE_A;

	(void)level;
	return (~v & marks) && riscv_has(s, S2_RISCV_SVADU);
}

static inline void fmt_decode(const struct s2_space *s, uint64_t v, unsigned level,
			      struct s2_leaf *out)
{
	uint64_t kind = v & PTE_PBMT;

	out->prot = (uint8_t)((v & PTE_R ? S2_READ : 0) | (v & PTE_W ? S2_WRITE : 0) |
			      (v & PTE_X ? S2_EXEC | S2_EXEC_USER : 0));
	out->mem = kind == PBMT_NC ? S2_MEM_NC : kind == PBMT_IO ? S2_MEM_DEVICE : S2_MEM_NORMAL;
	out->group = fmt_is_group(v, level);
	out->accessed = fmt_is_accessed(s, v, level);
	out->dirty = fmt_is_dirty(s, v, level);
}

/* Said in the one way in which these functions say it. */
static inline bool riscv_leaf_valid(const struct s2_space *s, uint64_t v, unsigned level)
{
	struct s2_leaf leaf;
	uint64_t hpa = fmt_hpa(s, v, level, 0);
	uint64_t within;
	uint64_t attr;
	uint64_t same;

	fmt_decode(s, v, level, &leaf);
	within = BIT(fmt_lg2(level) + (leaf.group ? fmt_group_lg2(level) : 0)) - 1;
	if (!fmt_attr(s, leaf.prot, leaf.mem, &attr) || (hpa & within) ||
	    (hpa | within) > s->hpa_last || (leaf.group && !riscv_has(s, S2_RISCV_SVNAPOT))) {
		return false;
	}
	same = fmt_leaf(s, attr, hpa, level);
	same = leaf.group ? fmt_group(same, level) : same;
	same = fmt_set_accessed(s, same, level, leaf.accessed);
	return v == fmt_set_dirty(s, same, level, leaf.dirty);
}

/* A cached item of a group may serve for all of it: single ones must not stand beside it. */
static inline enum s2_replace fmt_replace(const struct s2_space *s, unsigned level, bool group)
{
	(void)s;
	(void)level;
	return group ? S2_REPLACE_BREAK : S2_REPLACE_SWAP;
}

/* Items that are not valid may be cached ("Supervisor Memory-Management Fence Instruction"). */
static inline bool fmt_flush_on_map(const struct s2_space *s)
{
	return !riscv_has(s, S2_RISCV_SVVPTC);
}

static inline bool fmt_purges(void)
{
	return false;
}

/* With V clear all other bits are for software; pointers have no other low bit. */
static inline uint64_t fmt_break(uint64_t v, unsigned level)
{
	(void)level;
	return (v & ~PTE_V) | PTE_BROKEN;
}

static inline bool fmt_is_broken(uint64_t v, unsigned level)
{
	(void)level;
	return (v & (PTE_V | PTE_BROKEN)) == PTE_BROKEN;
}

static inline uint64_t fmt_unbreak(uint64_t v, unsigned level)
{
	(void)level;
	return (v & ~PTE_BROKEN) | PTE_V;
}

static inline uint64_t fmt_fade(uint64_t v, unsigned level)
{
	(void)level;
	return v;
}

static inline bool fmt_valid(const struct s2_space *s, uint64_t v, unsigned level)
{
	if (fmt_is_table(v, level)) {
		uint64_t hpa = fmt_table_hpa(s, v, level);

		return v == fmt_table(s, hpa, level) && hpa <= s->hpa_last;
	}
	return fmt_is_leaf(v, level) ? riscv_leaf_valid(s, v, level) : v == fmt_none(level);
}

static inline void fmt_walk(const struct s2_space *s, struct s2_walk *walk)
{
	static const struct s2_walk numbers = S2_RISCV_WALK(0);

	(void)s;
	*walk = numbers;
}

#include <stage2/engine/engine.h>

/* SPDX-License-Identifier: BSD-2-Clause */
/* What EPT and NPT have in common: the shape of the tables and how live items are changed. */
#ifndef ARCH_X86_RADIX_H
#define ARCH_X86_RADIX_H

#include <stage2/fmt.h>
#include <stage2/space.h>

#define FMT_BIG_ENDIAN 0
#define FMT_LEVELS 5

#define BIT(n) (UINT64_C(1) << (n))

/* Addresses of tables and leaves, bits 51:12 (SDM 29.3.2, APM 5.3.3). */
#define X86_HPA UINT64_C(0x000ffffffffff000)
#define X86_HPA_BITS 52
#define X86_LARGE BIT(7) /* in levels 1 and 2: a leaf */

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

static inline enum s2_err x86_init(struct s2_space *s, bool five_levels, bool large_1g)
{
	unsigned gpa_bits = s->config.gpa_bits;
	unsigned hpa_bits = s->config.hpa_bits ? s->config.hpa_bits : X86_HPA_BITS;

	if (gpa_bits < 30 || gpa_bits > 57 || hpa_bits < 32 || hpa_bits > X86_HPA_BITS) {
		return S2_ERR_FORMAT;
	}
	s->top = gpa_bits > 48 || five_levels ? 4 : 3;
	s->root_size = fmt_table_bytes(s->top);
	s->last = BIT(gpa_bits) - 1;
	s->hpa_last = BIT(hpa_bits) - 1;
	s->leaf_kinds[0] = S2_KIND_SINGLE;
	s->leaf_kinds[1] = S2_KIND_SINGLE;
	s->leaf_kinds[2] = large_1g ? S2_KIND_SINGLE : 0;
	return S2_OK;
}

static inline uint64_t fmt_none(unsigned level)
{
	(void)level;
	return 0;
}

static inline uint64_t fmt_table_hpa(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return v & X86_HPA;
}

static inline uint64_t fmt_hpa(const struct s2_space *s, uint64_t v, unsigned level, uint64_t gpa)
{
	(void)s;
	(void)level;
	(void)gpa;
	return v & X86_HPA;
}

static inline uint64_t x86_large(unsigned level)
{
	return level > 0 ? X86_LARGE : 0;
}

static inline uint64_t fmt_leaf(const struct s2_space *s, uint64_t attr, uint64_t hpa,
				unsigned level)
{
	(void)s;
	return attr | hpa | x86_large(level);
}

static inline uint64_t fmt_step(unsigned level)
{
	return BIT(fmt_lg2(level));
}

static inline uint64_t fmt_move(const struct s2_space *s, uint64_t v, unsigned level, uint64_t hpa,
				unsigned to)
{
	(void)s;
	(void)level;
	return (v & ~(X86_HPA | X86_LARGE)) | hpa | x86_large(to);
}

/* Does the leaf lie in the space, aligned to its size? */
static inline bool x86_leaf_fits(const struct s2_space *s, uint64_t v, unsigned level)
{
	uint64_t within = BIT(fmt_lg2(level)) - 1;
	uint64_t hpa = v & X86_HPA;

	return !(hpa & within) && (hpa | within) <= s->hpa_last;
}

/* No groups. */
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

/* Bit 12 of a large leaf is not address. */
static inline uint64_t fmt_hpa_bits(unsigned level)
{
	return X86_HPA & ~((UINT64_C(1) << fmt_lg2(level)) - 1);
}

static inline bool fmt_is_group(uint64_t v, unsigned level)
{
	(void)v;
	(void)level;
	return false;
}

/*
 * Processors allow one entry to be swapped for another that translates to the same bytes, and may
 * use either until the flush (SDM 5.10.4.4 and 29.4.3.4, APM 5.5.3).
 */
static inline enum s2_replace fmt_replace(const struct s2_space *s, unsigned level, bool group)
{
	(void)s;
	(void)level;
	(void)group;
	return S2_REPLACE_SWAP;
}

/* Items that are not present are not cached (SDM 29.4.2, APM 5.5.2). */
static inline bool fmt_flush_on_map(const struct s2_space *s)
{
	(void)s;
	return false;
}

static inline bool fmt_purges(void)
{
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

#endif

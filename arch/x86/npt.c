/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD nested page tables. APM 15.25 "Nested Paging"; the items are those of long mode, APM 5.3.3
 * "4-Kbyte Page Translation" and the sections after it, with the fields of APM 5.4.1.
 */
#include "radix.h"
#include <stage2/x86.h>

#define FMT_NAME "npt"
#define FMT_SYMBOL s2_fmt_npt

#define NPT_P BIT(0)
#define NPT_RW BIT(1)
#define NPT_US BIT(2) /* nested walks are user accesses at every level, APM 15.25.5 */
#define NPT_PWT BIT(3)
#define NPT_PCD BIT(4)
#define NPT_A BIT(5) /* in tables, too */
#define NPT_D BIT(6)
#define NPT_NX BIT(63)

/*
 * The kind is an item of the host's PAT, APM 7.8.2: PWT is bit 0 of its number and PCD bit 1. Bit 2
 * is bit 7 in pages and bit 12 in large leaves; after reset items 4 to 7 are like 0 to 3, so it is
 * 0.
 */
#define NPT_WB UINT64_C(0)
#define NPT_WT NPT_PWT
#define NPT_UC (NPT_PCD | NPT_PWT)

#define NPT_RIGHTS (NPT_RW | NPT_NX)

static inline bool npt_has(const struct s2_space *s, unsigned feature)
{
	return s->config.features & feature;
}

static inline enum s2_err fmt_init(struct s2_space *s)
{
	if (s->config.features & ~(uint64_t)S2_NPT_FEATURES_ALL) {
		return S2_ERR_FORMAT;
	}
	return x86_init(s, npt_has(s, S2_NPT_5LEVEL), npt_has(s, S2_NPT_1G));
}

static inline bool fmt_is_leaf(uint64_t v, unsigned level)
{
	return level == 0 ? v & NPT_P : level <= 2 && (v & X86_LARGE);
}

static inline bool fmt_is_table(uint64_t v, unsigned level)
{
	return level > 0 && (v & (NPT_P | X86_LARGE)) == NPT_P;
}

/* All rights; the leaf decides. Accessed, so that the processor has nothing to write. */
static inline uint64_t fmt_table(const struct s2_space *s, uint64_t hpa, unsigned level)
{
	(void)s;
	(void)level;
	return hpa | NPT_P | NPT_RW | NPT_US | NPT_A;
}

static inline bool fmt_attr(const struct s2_space *s, unsigned prot, unsigned mem, uint64_t *attr)
{
	unsigned exec = prot & (S2_EXEC | S2_EXEC_USER);

	(void)s;
	if (!(prot & S2_READ) || exec == S2_EXEC || exec == S2_EXEC_USER || mem == S2_MEM_NC ||
	    mem == S2_MEM_WP) {
		return false;
	}
	*attr = NPT_P | NPT_US | NPT_A | NPT_D | (prot & S2_WRITE ? NPT_RW : 0) |
		(exec ? 0 : NPT_NX);
	*attr |= mem == S2_MEM_NORMAL ? NPT_WB : mem == S2_MEM_WT ? NPT_WT : NPT_UC;
	return true;
}

static inline uint64_t fmt_protect(const struct s2_space *s, uint64_t v, uint64_t attr,
				   unsigned level)
{
	(void)s;
	(void)level;
	return (v & ~NPT_RIGHTS) | (attr & NPT_RIGHTS);
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
	return v & NPT_A;
}

static inline uint64_t fmt_set_accessed(const struct s2_space *s, uint64_t v, unsigned level,
					bool on)
{
	(void)s;
	(void)level;
	return on ? v | NPT_A : v & ~NPT_A;
}

static inline bool fmt_is_writable(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return v & NPT_RW;
}

static inline bool fmt_is_dirty(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return v & NPT_D;
}

static inline uint64_t fmt_set_dirty(const struct s2_space *s, uint64_t v, unsigned level, bool on)
{
	(void)s;
	(void)level;
	return on ? v | NPT_D : v & ~NPT_D;
}

static inline bool fmt_machine_writes(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return !(v & NPT_A) || (v & (NPT_RW | NPT_D)) == NPT_RW;
}

static inline unsigned npt_mem(uint64_t v)
{
	switch (v & (NPT_PCD | NPT_PWT)) {
	case NPT_WB:
		return S2_MEM_NORMAL;
	case NPT_WT:
		return S2_MEM_WT;
	default:
		return S2_MEM_DEVICE;
	}
}

static inline unsigned npt_prot(uint64_t v)
{
	return S2_READ | (v & NPT_RW ? S2_WRITE : 0) | (v & NPT_NX ? 0 : S2_EXEC | S2_EXEC_USER);
}

static inline void fmt_decode(const struct s2_space *s, uint64_t v, unsigned level,
			      struct s2_leaf *out)
{
	out->prot = (uint8_t)npt_prot(v);
	out->mem = (uint8_t)npt_mem(v);
	out->group = false;
	out->accessed = fmt_is_accessed(s, v, level);
	out->dirty = fmt_is_dirty(s, v, level);
}

static inline bool fmt_valid(const struct s2_space *s, uint64_t v, unsigned level)
{
	uint64_t hpa = v & X86_HPA;
	uint64_t attr;
	uint64_t made;

	if (fmt_is_table(v, level)) {
		return v == fmt_table(s, hpa, level) && hpa <= s->hpa_last;
	}
	if (!fmt_is_leaf(v, level)) {
		return v == fmt_none(level);
	}
	/* Made anew from what it says, it is the same: then no bit says anything else. */
	if (!x86_leaf_fits(s, v, level) || (level == 2 && !npt_has(s, S2_NPT_1G)) ||
	    !fmt_attr(s, npt_prot(v), npt_mem(v), &attr)) {
		return false;
	}
	made = fmt_leaf(s, attr, hpa, level);
	made = fmt_set_accessed(s, made, level, fmt_is_accessed(s, v, level));
	return v == fmt_set_dirty(s, made, level, fmt_is_dirty(s, v, level));
}

static inline void fmt_walk(const struct s2_space *s, struct s2_walk *walk)
{
	static const struct s2_walk numbers = S2_NPT_WALK(0);

	(void)s;
	*walk = numbers;
}

#include <stage2/engine/engine.h>

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel EPT. SDM 29.3.2 "EPT Translation Mechanism"; the fields are in tables "Format of an EPT
 * Page-Table Entry that Maps a 4-KByte Page" and those next to it.
 */
#include "radix.h"
#include <stage2/x86.h>

#define FMT_NAME "ept"
#define FMT_SYMBOL s2_fmt_ept

/* An item is present if any of these is 1; of bit 10 that holds with mode-based execute only. */
#define EPT_R BIT(0)
#define EPT_W BIT(1)
#define EPT_X BIT(2)
#define EPT_X_USER BIT(10) /* with mode-based execute, when bit 2 is for supervisor mode */
#define EPT_PRESENT (EPT_R | EPT_W | EPT_X | EPT_X_USER)

/* Bits 5:3 are the memory type, SDM 29.3.7.2; bit 6 is "ignore PAT memory type". */
#define EPT_TYPE_SHIFT 3
#define EPT_UC UINT64_C(0)
#define EPT_WC UINT64_C(1)
#define EPT_WT UINT64_C(4)
#define EPT_WP UINT64_C(5)
#define EPT_WB UINT64_C(6)
#define EPT_IPAT BIT(6)

#define EPT_A BIT(8) /* SDM 29.3.5 "Accessed and Dirty Flags for EPT"; A is in tables, too */
#define EPT_D BIT(9)

/* Bits 56:52 are ignored: where the processor does not keep dirty, writable and dirty are here. */
#define EPT_SOFT_W BIT(52)
#define EPT_SOFT_D BIT(53)

#define EPT_RIGHTS (EPT_PRESENT | EPT_SOFT_W)

/* fmt_data: the bits that say so, with or without S2_EPT_AD. */
enum {
	EPT_WRITABLE = 0,
	EPT_DIRTY = 1,
	EPT_CLEAN_DROPS = 2, /* what a leaf loses that is not dirty */
	EPT_ACCESSED = 3,    /* 0: leaves cannot say */
};

static inline bool ept_has(const struct s2_space *s, unsigned feature)
{
	return s->config.features & feature;
}

static inline enum s2_err fmt_init(struct s2_space *s)
{
	bool ad = ept_has(s, S2_EPT_AD);

	if (s->config.features & ~(uint64_t)S2_EPT_FEATURES_ALL) {
		return S2_ERR_FORMAT;
	}
	s->fmt_data[EPT_WRITABLE] = ad ? EPT_W : EPT_SOFT_W;
	s->fmt_data[EPT_DIRTY] = ad ? EPT_D : EPT_SOFT_D;
	s->fmt_data[EPT_CLEAN_DROPS] = ad ? 0 : EPT_W;
	s->fmt_data[EPT_ACCESSED] = ad ? EPT_A : 0;
	return x86_init(s, ept_has(s, S2_EPT_5LEVEL), ept_has(s, S2_EPT_1G));
}

/* Bit 7 is ignored at level 0 and 1 in no other item than a leaf. */
static inline bool fmt_is_leaf(uint64_t v, unsigned level)
{
	return level == 0 ? v & EPT_PRESENT : level <= 2 && (v & X86_LARGE);
}

/* Tables have all rights: to ask for one is enough. */
static inline bool fmt_is_table(uint64_t v, unsigned level)
{
	return level > 0 && (v & (EPT_R | X86_LARGE)) == EPT_R;
}

/* All rights; the leaf decides. Accessed, so that the processor has nothing to write. */
static inline uint64_t fmt_table(const struct s2_space *s, uint64_t hpa, unsigned level)
{
	(void)level;
	return hpa | EPT_R | EPT_W | EPT_X | (ept_has(s, S2_EPT_MBE) ? EPT_X_USER : 0) |
	       s->fmt_data[EPT_ACCESSED];
}

static inline uint64_t ept_type(unsigned mem)
{
	switch (mem) {
	case S2_MEM_NORMAL:
		return EPT_WB << EPT_TYPE_SHIFT;
	case S2_MEM_NC:
		return EPT_WC << EPT_TYPE_SHIFT | EPT_IPAT;
	case S2_MEM_DEVICE:
		return EPT_UC << EPT_TYPE_SHIFT | EPT_IPAT;
	case S2_MEM_WT:
		return EPT_WT << EPT_TYPE_SHIFT | EPT_IPAT;
	default:
		return EPT_WP << EPT_TYPE_SHIFT | EPT_IPAT;
	}
}

static inline bool fmt_attr(const struct s2_space *s, unsigned prot, unsigned mem, uint64_t *attr)
{
	bool exec = prot & S2_EXEC;
	bool exec_user = prot & S2_EXEC_USER;

	/* Write without read is an EPT misconfiguration, SDM 29.3.3.1; so may be execute. */
	if (!(prot & S2_READ) && ((prot & S2_WRITE) || !ept_has(s, S2_EPT_EXEC_ONLY))) {
		return false;
	}
	if (exec != exec_user && !ept_has(s, S2_EPT_MBE)) {
		return false;
	}
	*attr = ept_type(mem) | s->fmt_data[EPT_ACCESSED] | s->fmt_data[EPT_DIRTY];
	*attr |= prot & S2_READ ? EPT_R : 0;
	*attr |= prot & S2_WRITE ? EPT_W | s->fmt_data[EPT_WRITABLE] : 0;
	*attr |= exec ? EPT_X : 0;
	*attr |= exec_user && ept_has(s, S2_EPT_MBE) ? EPT_X_USER : 0;
	return true;
}

static inline bool fmt_keeps_accessed(const struct s2_space *s)
{
	return s->fmt_data[EPT_ACCESSED];
}

static inline bool fmt_is_accessed(const struct s2_space *s, uint64_t v, unsigned level)
{
	uint64_t accessed = s->fmt_data[EPT_ACCESSED];

	(void)level;
	return (v & accessed) == accessed;
}

static inline uint64_t fmt_set_accessed(const struct s2_space *s, uint64_t v, unsigned level,
					bool on)
{
	uint64_t accessed = s->fmt_data[EPT_ACCESSED];

	(void)level;
	return on ? v | accessed : v & ~accessed;
}

static inline bool fmt_is_writable(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)level;
	return v & s->fmt_data[EPT_WRITABLE];
}

static inline bool fmt_is_dirty(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)level;
	return v & s->fmt_data[EPT_DIRTY];
}

static inline uint64_t fmt_set_dirty(const struct s2_space *s, uint64_t v, unsigned level, bool on)
{
	if (!on) {
		return v & ~(s->fmt_data[EPT_DIRTY] | s->fmt_data[EPT_CLEAN_DROPS]);
	}
	return v | s->fmt_data[EPT_DIRTY] | (fmt_is_writable(s, v, level) ? EPT_W : 0);
}

static inline uint64_t fmt_protect(const struct s2_space *s, uint64_t v, uint64_t attr,
				   unsigned level)
{
	v = (v & ~EPT_RIGHTS) | (attr & EPT_RIGHTS);
	return fmt_is_dirty(s, v, level) ? v : v & ~s->fmt_data[EPT_CLEAN_DROPS];
}

static inline bool fmt_machine_writes(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)level;
	return fmt_keeps_accessed(s) && (!(v & EPT_A) || (v & (EPT_W | EPT_D)) == EPT_W);
}

static inline unsigned ept_mem(uint64_t v)
{
	switch (v >> EPT_TYPE_SHIFT & 7) {
	case EPT_WB:
		return S2_MEM_NORMAL;
	case EPT_WC:
		return S2_MEM_NC;
	case EPT_UC:
		return S2_MEM_DEVICE;
	case EPT_WT:
		return S2_MEM_WT;
	default:
		return S2_MEM_WP;
	}
}

static inline unsigned ept_prot(const struct s2_space *s, uint64_t v, unsigned level)
{
	bool exec_user = v & (ept_has(s, S2_EPT_MBE) ? EPT_X_USER : EPT_X);

	return (v & EPT_R ? S2_READ : 0) | (fmt_is_writable(s, v, level) ? S2_WRITE : 0) |
	       (v & EPT_X ? S2_EXEC : 0) | (exec_user ? S2_EXEC_USER : 0);
}

static inline void fmt_decode(const struct s2_space *s, uint64_t v, unsigned level,
			      struct s2_leaf *out)
{
	out->prot = (uint8_t)ept_prot(s, v, level);
	out->mem = (uint8_t)ept_mem(v);
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
	if (!ept_prot(s, v, level) || !x86_leaf_fits(s, v, level) ||
	    (level == 2 && !ept_has(s, S2_EPT_1G)) ||
	    !fmt_attr(s, ept_prot(s, v, level), ept_mem(v), &attr)) {
		return false;
	}
	made = fmt_leaf(s, attr, hpa, level);
	made = fmt_set_accessed(s, made, level, fmt_is_accessed(s, v, level));
	return v == fmt_set_dirty(s, made, level, fmt_is_dirty(s, v, level));
}

static inline void fmt_walk(const struct s2_space *s, struct s2_walk *walk)
{
	static const struct s2_walk numbers = S2_EPT_WALK(0);

	(void)s;
	*walk = numbers;
}

#include <stage2/engine/engine.h>

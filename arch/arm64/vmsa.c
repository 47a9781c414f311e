/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors of stage 2, 4 KiB granule; <stage2/arm64.h> says what of them is used and why. */
#include <stage2/arm64.h>
#include <stage2/space.h>

#define FMT_NAME "arm64"
#define FMT_SYMBOL s2_fmt_arm64
#define FMT_BIG_ENDIAN 0
#define FMT_LEVELS 4

#define BIT(n) (UINT64_C(1) << (n))
#define MASK(hi, lo) ((UINT64_MAX >> (63 - (hi))) & (UINT64_MAX << (lo)))

/* D8.3.1.2, table D8-53 "Stage 2 VMSAv8-64 Block and Page descriptor fields". */
#define VALID BIT(0)
#define TYPE BIT(1)	   /* table, or page at level 0; clear: block (table D8-48) */
#define MEMATTR MASK(5, 2) /* D8.6.5 and D8.6.6 */
#define S2AP_R BIT(6)	   /* D8.4.2.1, table D8-76 */
#define S2AP_W BIT(7)	   /* writable and dirty (R_BRFGY) */
#define SH_SHIFT 8	   /* without LPA2; D8.6.7, table D8-102 */
#define HPA_TOP MASK(9, 8) /* with LPA2: bits 51:50 of the address */
#define AF BIT(10)	   /* D8.5.1 */
#define NT BIT(16)	   /* of blocks; D8.7.3 "Table and Block entry" */
#define HPA_48 MASK(47, 12)
#define HPA_LPA2 MASK(49, 12)
#define DBM BIT(51)	/* writable; with S2AP_W clear: clean (R_XZFQH) */
#define CONT BIT(52)	/* D8.7.1 */
#define XN MASK(54, 53) /* D8.4.2.1, tables D8-77 and D8-78 */
#define XN_NONE (UINT64_C(0) << 53)
#define XN_KERNEL (UINT64_C(1) << 53) /* the guest's kernel may not execute; needs XNX */
#define XN_ALL (UINT64_C(2) << 53)
#define XN_USER (UINT64_C(3) << 53) /* the guest's user programs may not; needs XNX */
#define DIRTY BIT(56) /* not writable, but dirty; bits 57:56 are for software in every world */

#define RIGHTS (S2AP_R | S2AP_W | DBM | XN)

#define MEMATTR_DEVICE (UINT64_C(0x1) << 2) /* Device-nGnRE */
#define MEMATTR_NC (UINT64_C(0x5) << 2)
#define MEMATTR_WB (UINT64_C(0xf) << 2)	    /* table D8-96 */
#define MEMATTR_FWB_WB (UINT64_C(0x6) << 2) /* table D8-101: write-back whatever stage 1 says */

#define SH_OUTER (UINT64_C(2) << SH_SHIFT)
#define SH_INNER (UINT64_C(3) << SH_SHIFT)

/* s->fmt_data: which bits of a descriptor are address, and which marks the machine sets. */
#define DATA_HPA 0
#define DATA_HPA_TOP 1
#define DATA_MACHINE 2

#define LEVEL_512G 3u
#define HPA_TOP_SHIFT 42 /* from bits 9:8 of a descriptor to 51:50 of an address */

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

/* D8.7.1, table D8-104: no groups of 512 GiB. */
static inline unsigned fmt_group_lg2(unsigned level)
{
	return level < LEVEL_512G ? 4 : 0;
}

static inline bool arm64_has(const struct s2_space *s, unsigned feature)
{
	return (s->config.features & feature) != 0;
}

/* Up to 16 root tables save a level: 5 to 13 bits at the root (D8.2.8.2, tables D8-21 to D8-23). */
static inline void arm64_init_shape(struct s2_space *s, unsigned gpa_bits)
{
	unsigned root_lg2;

	s->top = (uint8_t)((gpa_bits - 8) / 9 - 1);
	root_lg2 = gpa_bits - fmt_lg2(s->top) + 3;
	s->root_size = (size_t)1 << (root_lg2 < 12 ? 12 : root_lg2);
	s->last = BIT(gpa_bits) - 1;
	for (unsigned level = 0; level <= s->top; level++) {
		if (level < LEVEL_512G) {
			s->leaf_kinds[level] = arm64_has(s, S2_ARM64_CONT)
						       ? S2_KIND_SINGLE | S2_KIND_GROUP
						       : S2_KIND_SINGLE;
		} else if (arm64_has(s, S2_ARM64_LPA2)) {
			s->leaf_kinds[level] = S2_KIND_SINGLE;
		}
	}
}

__attribute__((cold)) static enum s2_err fmt_init(struct s2_space *s)
{
	bool lpa2 = arm64_has(s, S2_ARM64_LPA2);
	unsigned max = lpa2 ? 52 : 48;
	unsigned gpa_bits = s->config.gpa_bits;
	unsigned hpa_bits = s->config.hpa_bits ? s->config.hpa_bits : max;

	if (gpa_bits < 32 || gpa_bits > max || hpa_bits <= S2_PAGE_LG2 || hpa_bits > max ||
	    (s->config.features & ~(uint64_t)S2_ARM64_FEATURES_ALL) ||
	    (arm64_has(s, S2_ARM64_HD) && !arm64_has(s, S2_ARM64_HA))) {
		return S2_ERR_FORMAT;
	}
	arm64_init_shape(s, gpa_bits);
	s->hpa_last = BIT(hpa_bits) - 1;
	s->fmt_data[DATA_HPA] = lpa2 ? HPA_LPA2 : HPA_48;
	s->fmt_data[DATA_HPA_TOP] = lpa2 ? HPA_TOP : 0;
	s->fmt_data[DATA_MACHINE] =
		(arm64_has(s, S2_ARM64_HA) ? AF : 0) | (arm64_has(s, S2_ARM64_HD) ? S2AP_W : 0);
	return S2_OK;
}

static inline uint64_t fmt_none(unsigned level)
{
	(void)level;
	return 0;
}

static inline uint64_t arm64_type(unsigned level)
{
	return level == 0 ? VALID | TYPE : VALID;
}

static inline bool fmt_is_leaf(uint64_t v, unsigned level)
{
	return (v & (VALID | TYPE)) == arm64_type(level);
}

static inline bool fmt_is_table(uint64_t v, unsigned level)
{
	return level > 0 && (v & (VALID | TYPE)) == (VALID | TYPE);
}

/* D8.3.1.2: with LPA2 bits 51:50 of an address are in bits 9:8. */
static inline uint64_t arm64_hpa_bits(const struct s2_space *s, uint64_t hpa)
{
	return (hpa & s->fmt_data[DATA_HPA]) | ((hpa >> HPA_TOP_SHIFT) & s->fmt_data[DATA_HPA_TOP]);
}

static inline uint64_t arm64_hpa(const struct s2_space *s, uint64_t v)
{
	return (v & s->fmt_data[DATA_HPA]) | (v & s->fmt_data[DATA_HPA_TOP]) << HPA_TOP_SHIFT;
}

/* D8.3.1.1, table D8-51 "Stage 2 VMSAv8-64 Table descriptor fields". */
static inline uint64_t fmt_table(const struct s2_space *s, uint64_t hpa, unsigned level)
{
	(void)level;
	return arm64_hpa_bits(s, hpa) | TYPE | VALID;
}

static inline uint64_t fmt_table_hpa(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)level;
	return arm64_hpa(s, v);
}

/* Table D8-78; without XNX table D8-77, where bit 53 is RES0. */
static inline bool arm64_xn(const struct s2_space *s, unsigned prot, uint64_t *xn)
{
	switch (prot & (S2_EXEC | S2_EXEC_USER)) {
	case S2_EXEC | S2_EXEC_USER:
		*xn = XN_NONE;
		return true;
	case S2_EXEC:
		*xn = XN_USER;
		return arm64_has(s, S2_ARM64_XNX);
	case S2_EXEC_USER:
		*xn = XN_KERNEL;
		return arm64_has(s, S2_ARM64_XNX);
	default:
		*xn = XN_ALL;
		return true;
	}
}

/* Device and non-cacheable memory is outer shareable, whatever SH says (R_YHCTP). */
static inline bool arm64_kind(const struct s2_space *s, unsigned mem, uint64_t *attr)
{
	switch (mem) {
	case S2_MEM_NORMAL:
		*attr = (arm64_has(s, S2_ARM64_FWB) ? MEMATTR_FWB_WB : MEMATTR_WB) | SH_INNER;
		break;
	case S2_MEM_NC:
		*attr = MEMATTR_NC | SH_OUTER;
		break;
	case S2_MEM_DEVICE:
		*attr = MEMATTR_DEVICE | SH_OUTER;
		break;
	default:
		return false;
	}
	*attr &= ~s->fmt_data[DATA_HPA_TOP];
	return true;
}

__attribute__((cold)) static bool fmt_attr(const struct s2_space *s, unsigned prot, unsigned mem,
					   uint64_t *attr)
{
	uint64_t kind;
	uint64_t xn;

	if ((prot & S2_RW) == S2_WRITE || !arm64_xn(s, prot, &xn) || !arm64_kind(s, mem, &kind)) {
		return false;
	}
	*attr = kind | xn | AF | (prot & S2_READ ? S2AP_R : 0) |
		(prot & S2_WRITE ? DBM | S2AP_W : DIRTY);
	return true;
}

static inline uint64_t fmt_leaf(const struct s2_space *s, uint64_t attr, uint64_t hpa,
				unsigned level)
{
	return attr | arm64_hpa_bits(s, hpa) | arm64_type(level);
}

/* Neighbours are in one folio: they do not differ in the bits that LPA2 has elsewhere. */
static inline uint64_t fmt_step(unsigned level)
{
	return BIT(fmt_lg2(level));
}

static inline uint64_t fmt_group(uint64_t v, unsigned level)
{
	(void)level;
	return v | CONT;
}

static inline uint64_t fmt_group_step(unsigned level)
{
	return fmt_step(level);
}

/* Less than all: below it is nT, above it what LPA2 adds. */
static inline uint64_t fmt_hpa_bits(unsigned level)
{
	return HPA_48 & ~(BIT(fmt_lg2(level)) - 1);
}

static inline bool fmt_is_group(uint64_t v, unsigned level)
{
	return level < LEVEL_512G && (v & CONT);
}

/* The bits below the leaf's size are not address: nT is among them. */
static inline uint64_t fmt_hpa(const struct s2_space *s, uint64_t v, unsigned level, uint64_t gpa)
{
	(void)gpa;
	return arm64_hpa(s, v) & ~(BIT(fmt_lg2(level)) - 1);
}

static inline uint64_t fmt_move(const struct s2_space *s, uint64_t v, unsigned level, uint64_t hpa,
				unsigned to)
{
	uint64_t address = s->fmt_data[DATA_HPA] | s->fmt_data[DATA_HPA_TOP];

	(void)level;
	return fmt_leaf(s, v & ~(address | CONT | VALID | TYPE), hpa, to);
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
	return v & AF;
}

static inline uint64_t fmt_set_accessed(const struct s2_space *s, uint64_t v, unsigned level,
					bool on)
{
	(void)s;
	(void)level;
	return on ? v | AF : v & ~AF;
}

static inline bool fmt_is_writable(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return v & (DBM | S2AP_W);
}

static inline bool fmt_is_dirty(const struct s2_space *s, uint64_t v, unsigned level)
{
	(void)s;
	(void)level;
	return v & (DIRTY | S2AP_W);
}

static inline uint64_t fmt_set_dirty(const struct s2_space *s, uint64_t v, unsigned level, bool on)
{
	(void)s;
	(void)level;
	v &= ~(DIRTY | S2AP_W);
	return !on ? v : v & DBM ? v | S2AP_W : v | DIRTY;
}

/* D8.5.1, D8.5.2.1: the machine sets AF, and S2AP[1] where DBM is set. */
static inline bool fmt_machine_writes(const struct s2_space *s, uint64_t v, unsigned level)
{
	uint64_t marks = v & DBM ? AF | S2AP_W : AF;

	(void)level;
	return ~v & marks & s->fmt_data[DATA_MACHINE];
}

static inline uint64_t fmt_protect(const struct s2_space *s, uint64_t v, uint64_t attr,
				   unsigned level)
{
	bool dirty = fmt_is_dirty(s, v, level);

	return fmt_set_dirty(s, (v & ~RIGHTS) | (attr & RIGHTS), level, dirty);
}

static inline unsigned arm64_exec(uint64_t v)
{
	switch (v & XN) {
	case XN_NONE:
		return S2_EXEC | S2_EXEC_USER;
	case XN_KERNEL:
		return S2_EXEC_USER;
	case XN_USER:
		return S2_EXEC;
	default:
		return 0;
	}
}

__attribute__((cold)) static void fmt_decode(const struct s2_space *s, uint64_t v, unsigned level,
					     struct s2_leaf *out)
{
	uint64_t kind = v & MEMATTR;

	out->prot = (uint8_t)((v & S2AP_R ? S2_READ : 0) |
			      (fmt_is_writable(s, v, level) ? S2_WRITE : 0) | arm64_exec(v));
	out->mem = kind == MEMATTR_DEVICE ? S2_MEM_DEVICE
		   : kind == MEMATTR_NC	  ? S2_MEM_NC
					  : S2_MEM_NORMAL;
	out->group = fmt_is_group(v, level);
	out->accessed = fmt_is_accessed(s, v, level);
	out->dirty = fmt_is_dirty(s, v, level);
}

/* Said in the one way in which these functions say it; nT does not stay. */
static inline bool arm64_leaf_valid(const struct s2_space *s, uint64_t v, unsigned level)
{
	uint64_t within = BIT(fmt_lg2(level)) - 1;
	uint64_t hpa = fmt_hpa(s, v, level, 0);
	struct s2_leaf leaf;
	uint64_t attr;
	uint64_t same;

	fmt_decode(s, v, level, &leaf);
	if (leaf.prot == 0 || !fmt_attr(s, leaf.prot, leaf.mem, &attr) ||
	    (hpa | within) > s->hpa_last || (level == LEVEL_512G && !arm64_has(s, S2_ARM64_LPA2)) ||
	    (leaf.group && !arm64_has(s, S2_ARM64_CONT))) {
		return false;
	}
	same = fmt_leaf(s, attr, hpa, level);
	same = leaf.group ? fmt_group(same, level) : same;
	same = fmt_set_accessed(s, same, level, leaf.accessed);
	return v == fmt_set_dirty(s, same, level, leaf.dirty);
}

/*
 * BBM1 is for single leaves: groups would need nT in each item, and single pages have none. BBM2 is
 * for other sizes, not for other addresses, which is all that a single page can get.
 */
static inline enum s2_replace fmt_replace(const struct s2_space *s, unsigned level, bool group)
{
	if (arm64_has(s, S2_ARM64_HD) || (level == 0 && !group)) {
		return S2_REPLACE_BREAK; /* R_RTBRL */
	}
	if (arm64_has(s, S2_ARM64_BBM2)) {
		return S2_REPLACE_SWAP; /* D8.17.2 */
	}
	return arm64_has(s, S2_ARM64_BBM1) && level > 0 && !group ? S2_REPLACE_FADE
								  : S2_REPLACE_BREAK;
}

/* What faults is never cached (R_MLNTS, I_WZCBG). */
static inline bool fmt_flush_on_map(const struct s2_space *s)
{
	(void)s;
	return false;
}

static inline bool fmt_purges(void)
{
	return false;
}

/* D8.3.1.3: of an invalid descriptor only bit 0 counts. Leaves and tables have other bits set. */
static inline uint64_t fmt_break(uint64_t v, unsigned level)
{
	(void)level;
	return v & ~VALID;
}

static inline bool fmt_is_broken(uint64_t v, unsigned level)
{
	(void)level;
	return !(v & VALID) && (v & MASK(11, 1));
}

static inline uint64_t fmt_unbreak(uint64_t v, unsigned level)
{
	(void)level;
	return v | VALID;
}

/* D8.17.2, I_XPRKH; pages have no nT. */
static inline uint64_t fmt_fade(uint64_t v, unsigned level)
{
	return level > 0 ? v | NT : v;
}

__attribute__((cold)) static bool fmt_valid(const struct s2_space *s, uint64_t v, unsigned level)
{
	if (fmt_is_table(v, level)) {
		uint64_t hpa = fmt_table_hpa(s, v, level);

		return v == fmt_table(s, hpa, level) && hpa <= s->hpa_last;
	}
	return fmt_is_leaf(v, level) ? arm64_leaf_valid(s, v, level) : v == fmt_none(level);
}

/* Where LPA2 has address in bits 49:48 and 9:8, items with such bits go the long way. */
static inline void fmt_walk(const struct s2_space *s, struct s2_walk *walk)
{
	static const struct s2_walk numbers = S2_ARM64_WALK(0);
	uint64_t top = s->fmt_data[DATA_HPA_TOP] | (s->fmt_data[DATA_HPA] & ~HPA_48);

	*walk = numbers;
	walk->page_mask |= top;
	walk->block_mask |= top;
	walk->shape = top != 0 ? 0 : walk->shape;
}

#include <stage2/engine/engine.h>

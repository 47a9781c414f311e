/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arm64: stage 2 of the VMSAv8-64 translation system with 4 KiB granule, the registers that point a
 * processor at a space, and the operands that make it forget one.
 *
 * Sections and rules (R_..., I_...) are those of the Arm Architecture Reference Manual for
 * A-profile, DDI 0487, issue M.a; rules keep their names in other issues. Where Arm says IPA this
 * library says gpa, and where it says block, leaf. Levels count the other way round: see
 * s2_arm64_level().
 */
#ifndef STAGE2_ARM64_H
#define STAGE2_ARM64_H

#include <stage2/fmt.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * gpa_bits: 32 to 48, with S2_ARM64_LPA2 to 52; the processor wants it not to be larger than its
 * own physical address size. hpa_bits: 13 to 48, with S2_ARM64_LPA2 to 52. The root is one table,
 * or up to 16 neighbours (D8.2.2 "Concatenated translation tables"): 4 KiB to 64 KiB. SCTLR_EL2.EE
 * is 0: tables are little-endian. Not for Realms, whose tables are not the hypervisor's.
 *
 *  - Leaves: 4 KiB, 2 MiB, 1 GiB; with S2_ARM64_LPA2 512 GiB (D8.2.8, table D8-17); with
 *    S2_ARM64_CONT also groups of 16: 64 KiB, 32 MiB, 16 GiB (D8.7.1, table D8-104).
 *  - Rights: read; write with read; execute with or without read (D8.4.2.1: data and instructions
 *    have bits of their own). Without S2_ARM64_XNX the guest's kernel and its user programs execute
 *    the same pages. A device that may be executed may be fetched from at any time: do not.
 *  - Kinds: normal, NC, device (nGnRE). The guest may make NC and normal memory less cacheable by
 *    its stage 1, but not normal memory where S2_ARM64_FWB is in force.
 *  - Marks: accessed is the Access flag. Writable is DBM, writable and dirty also S2AP[1];
 *    where the right to write is taken away a software bit keeps dirty. Without S2_ARM64_HA
 *    (S2_ARM64_HD) the guest faults where the mark is not set: s2_touch().
 *
 * Live items are replaced by break-before-make (D8.17.1), unless S2_ARM64_BBM1 or _BBM2 are set.
 * While an item is broken, or has nT set, the guest's accesses may fault: let it try again. With
 * these two the processor may raise TLB conflict aborts, to EL2 (R_QWTKL): answer with TLBI
 * VMALLS12E1IS (D8.17.3) and let the guest try again, or do not set them on such processors. With
 * S2_ARM64_HD they have no effect, because a dirty mark could be lost (R_RTBRL).
 */
extern const struct s2_fmt s2_fmt_arm64;

#define S2_ARM64_LPA2 (1u << 0)	     /* VTCR_EL2.DS is 1: addresses of 52 bits (FEAT_LPA2) */
#define S2_ARM64_FWB (1u << 1)	     /* HCR_EL2.FWB is 1 (FEAT_S2FWB) */
#define S2_ARM64_XNX (1u << 2)	     /* FEAT_XNX */
#define S2_ARM64_CONT (1u << 3)	     /* use the Contiguous bit */
#define S2_ARM64_HA (1u << 4)	     /* VTCR_EL2.HA is 1: the machine sets accessed (FEAT_HAFDBS) */
#define S2_ARM64_HD (1u << 5)	     /* VTCR_EL2.HD is 1: and dirty; needs S2_ARM64_HA */
#define S2_ARM64_BBM1 (1u << 6)	     /* FEAT_BBML1: nT */
#define S2_ARM64_BBM2 (1u << 7)	     /* FEAT_BBML2: leaf sizes change without further ado */
#define S2_ARM64_TLBIRANGE (1u << 8) /* FEAT_TLBIRANGE, on every processor */
#define S2_ARM64_TTL (1u << 9)	     /* FEAT_TTL, on every processor: level hints */
#define S2_ARM64_VMID16 (1u << 10)   /* VTCR_EL2.VS is 1: VMIDs of 16 bits (FEAT_VMID16) */
#define S2_ARM64_CNP (1u << 11)	     /* VTTBR_EL2.CnP is 1 (FEAT_TTCNP) */
#define S2_ARM64_FEATURES_ALL ((1u << 12) - 1)

/*
 * The numbers of struct s2_walk, for s2_lookup_as() and its like: of spaces without S2_ARM64_LPA2.
 * top_lg2: 21 for gpa_bits up to 34, 30 up to 43, 39 beyond.
 */
#define S2_ARM64_WALK(top)                                                                         \
	{                                                                                          \
		.shape = S2_WALK_SHAPE('a', '6', '4', top), .usable = true,                        \
		.swap = __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__, .tables_bare = true,            \
		.top_lg2 = (top), .page_bits = 9, .upper_bits = 9,                                 \
		.hpa_bits = UINT64_C(0xfffffffff000), /* bits 47:12 */                             \
			.table_mask = ~UINT64_C(0xfffffffff000), .table_value = 3, .page_mask = 3, \
		.page_value = 3, .block_mask = 3, .block_value = 1, .page_leaf = 3,                \
	}

/* Arm's number of a level: 3 for the level of pages, less going up. The one place that converts. */
static inline unsigned s2_arm64_level(unsigned level)
{
	return 3 - level;
}

/*
 * VTCR_EL2 for a space of this format (D24.2.224): size, initial level, output size, walks through
 * write-back inner-shareable memory, HA, HD, VS, DS. All other fields are 0.
 */
uint64_t s2_arm64_vtcr(const struct s2_space *s);

/* VTTBR_EL2 (D24.2.225). Without S2_ARM64_VMID16 the upper 8 bits of vmid are dropped. */
uint64_t s2_arm64_vttbr(const struct s2_space *s, uint16_t vmid);

/*
 * Flushing. A batch, as struct s2_mmu passes it, becomes a sequence of TLBI instructions for the
 * VMID that is in VTTBR_EL2 when they are executed (D8.17.6.1 "Invalidating TLB entries from stage
 * 2 translations"):
 *
 *	DSB ISHST			the tables' new contents are visible
 *	all IPAS2E1IS and RIPAS2E1IS	stage 2 alone
 *	DSB ISH
 *	VMALLE1IS			what combines stage 1 and stage 2: once, at the end
 *	DSB ISH, ISB
 *
 * or of one VMALLS12E1IS, between the same barriers, in the place of all of them.
 */
enum s2_arm64_op {
	S2_ARM64_IPAS2E1IS = 0,	  /* TLBI IPAS2E1IS, Xt */
	S2_ARM64_RIPAS2E1IS = 1,  /* TLBI RIPAS2E1IS, Xt */
	S2_ARM64_VMALLE1IS = 2,	  /* TLBI VMALLE1IS, comes last; DSB ISH goes before it */
	S2_ARM64_VMALLS12E1IS = 3 /* TLBI VMALLS12E1IS, comes alone */
};

/* More operations than this for one batch are not worth their time: one VMALLS12E1IS. */
#define S2_ARM64_TLBI_MAX 512u

/*
 * Calls op for each operation of a batch: at most S2_ARM64_TLBI_MAX of the first two kinds and one
 * of the last two. features are those of the space; of them S2_ARM64_LPA2, _TLBIRANGE and _TTL
 * count. xt is what goes into the register, 0 for operations that have none. Cannot fail; no state,
 * no locks.
 */
void s2_arm64_tlbi(uint64_t features, const struct s2_flush *flush, size_t count,
		   void (*op)(void *cookie, enum s2_arm64_op op, uint64_t xt), void *cookie);

/* What to put into flush_max of struct s2_mmu: s2_arm64_tlbi() has a limit of its own. */
#define S2_ARM64_FLUSH_MAX UINT64_MAX

/*
 * The parts, for those who build sequences themselves. All are pure.
 *
 * One operation for the bytes from gpa on, as many as one operation can cover: next is gpa + len,
 * until the end of flush->range. kind is not S2_FLUSH_ALL. Operations that a range takes this way:
 *
 *	without S2_ARM64_TLBIRANGE	one for each stride, or for each item if that is smaller:
 *					groups are invalidated item by item (I_JQPNP)
 *	with it				5 up to 8 GiB, and one more for each 8 GiB beyond
 *	and with S2_ARM64_LPA2		up to 15 more, up to the first multiple of 64 KiB
 */
struct s2_arm64_tlbi {
	enum s2_arm64_op op;
	uint64_t xt;
	uint64_t len;
};

struct s2_arm64_tlbi s2_arm64_tlbi_at(uint64_t features, const struct s2_flush *flush,
				      s2_gpa_t gpa);

/* That many at most, for a range of up to 8 GiB, with S2_ARM64_TLBIRANGE. */
#define S2_ARM64_TLBI_RANGE_MAX 20u

/*
 * Xt of IPAS2E1IS (C5.5.14). level is that of the leaf, in this library's counting; S2_LEVEL_ANY:
 * no hint. A wrong hint invalidates nothing.
 */
uint64_t s2_arm64_ipas2e1is(s2_gpa_t gpa, uint8_t level);

/*
 * Xt of RIPAS2E1IS (C5.5.22): (num + 1) << (5 * scale + 1) pages from gpa on; num 0 to 31, scale 0
 * to 3. With lpa2 gpa is a multiple of 64 KiB. A hint for which gpa is not aligned is left out.
 */
uint64_t s2_arm64_ripas2e1is(s2_gpa_t gpa, uint8_t level, unsigned scale, unsigned num, bool lpa2);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s390x: the tables of dynamic address translation (DAT) as a host uses them for a guest, in Linux
 * a gmap; and the operands that point a processor at them and purge what it cached.
 *
 *   PoP   z/Architecture Principles of Operation, SA22-7832: chapter 3 "Dynamic Address
 *         Translation", chapter 10 for the instructions. Bits there count from 0, the most
 *         significant; here they count from the least significant.
 *
 * Live items are changed only by instructions that purge in the same step: IPTE and IDTE make them
 * invalid, so that they can be stored then; CRDTE and CSPG replace one value by another. Back ends
 * need invalidate and replace.
 */
#ifndef STAGE2_S390_H
#define STAGE2_S390_H

#include <stage2/fmt.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * gpa_bits: 31, 42, 53 or 64, for a root that is a segment, region-third, region-second or
 * region-first table. hpa_bits: 31 to 64.
 *
 *  - Tables: 16 KiB, 2048 items. Page tables: 256 items, then 256 words of zero, in which machine
 *    and hypervisor keep the status of a page each (PGSTE). Host-physical addresses are absolute.
 *  - Leaves: 4 KiB; 1 MiB with S2_S390_EDAT1; 2 GiB with S2_S390_EDAT2.
 *  - Rights: read always; write; execute, for the guest's kernel and user programs together, which
 *    can be withheld with S2_S390_IEP only. Whether machines look at that bit when a guest under
 *    SIE fetches instructions is not in the PoP, and Linux never sets it for guests: do not count
 *    on it there without having tried. Kinds: normal.
 *  - Marks: kept by software. An item that is not accessed is invalid, and one that is writable but
 *    not dirty is protected: the guest's access faults, then s2_touch(). Bits that the machine
 *    ignores hold the truth; they are where Linux has them. They include "present": an item that
 *    is invalid and not present is none.
 *
 * A live leaf gives way to a table, or a table to a leaf, in one step that no guest notices (replace).
 * A leaf by itself changes its rights or marks so, too. Neighbours in a table that s2_protect(),
 * s2_dirty_start(), _clear() or _stop() change in the same bits become invalid together (invalidate:
 * one IPTE with the IPTE-range facility, or one IDTE) and are stored then: meanwhile the guest's
 * accesses to them fault. Let it try again. s2_query() shows the page mapped, with the marks and the
 * rights of before or after; s2_touch() in answer to the fault is a call that overlaps (space.h).
 * What s2_unmap() takes out of a table goes by stretches, too: pages, larger leaves, or tables.
 */
extern const struct s2_fmt s2_fmt_s390;

#define S2_S390_EDAT1 1u /* enhanced-DAT facility 1, facility bit 8 */
#define S2_S390_EDAT2 2u /* enhanced-DAT facility 2, facility bit 78 */
#define S2_S390_IEP 4u	 /* instruction-execution-protection facility, bit 130; CR0 bit 20 is 1 */
#define S2_S390_FEATURES_ALL (S2_S390_EDAT1 | S2_S390_EDAT2 | S2_S390_IEP)

/*
 * The address-space-control element for a root: PoP chapter 3, "Address-Space-Control Element".
 * top: the root's level (struct s2_space). The space is private, so that common segments of other
 * spaces are not used in it; event bits may be put in by the embedder.
 */
uint64_t s2_s390_asce(s2_hpa_t root, unsigned top);

/*
 * General registers for an instruction: what the fields R1, R2 and R3 are to name. [1] is the odd
 * register of a pair, 0 where the instruction takes a single one. M4 is 0: all processors.
 */
struct s2_s390_regs {
	uint64_t r1[2];
	uint64_t r2[2];
	uint64_t r3;
};

/*
 * IPTE, for items of level 0. Returns how many of the count items, all in one table, it makes
 * invalid: one without the IPTE-range facility (facility bit 13), when R3 is to be left out. The
 * machine may stop the range form early; it is done when the last byte of the register R3 is 255,
 * and else is to be executed again with the registers as it left them.
 */
size_t s2_s390_ipte(const struct s2_place *place, size_t count, bool range,
		    struct s2_s390_regs *out);

/*
 * IDTE, for items of the other levels. Returns how many of the count items, all in one table, it
 * makes invalid. asce: as s2_s390_asce() gave it; what is cached for other spaces may stay.
 */
size_t s2_s390_idte(const struct s2_place *place, size_t count, uint64_t asce,
		    struct s2_s390_regs *out);

/* IDTE, "clearing by ASCE": everything of the space. R1 is ignored. What a flush of all is. */
void s2_s390_idte_space(uint64_t asce, struct s2_s390_regs *out);

/* How an item is to be replaced by compare-and-swap, from best to worst. */
enum s2_s390_way {
	S2_S390_WAY_CSG = 0,   /* plain: the old item is invalid, so that nobody has cached it */
	S2_S390_WAY_CRDTE = 1, /* purges what was made from the item */
	S2_S390_WAY_CSPG = 2,  /* purges everything on all processors */
};

enum s2_s390_way s2_s390_way(uint64_t old, unsigned level, uint64_t features);

/* CRDTE and CSPG. It was replaced if condition code is 0, and r1[0] then is still old. */
void s2_s390_crdte(const struct s2_place *place, uint64_t old, uint64_t new_value, uint64_t asce,
		   struct s2_s390_regs *out);
void s2_s390_cspg(const struct s2_place *place, uint64_t old, uint64_t new_value,
		  struct s2_s390_regs *out);

/*
 * RDP, for an item of level 0 (reset-DAT-protection facility, bit 194): sets P to 0 in memory and
 * in what is cached, without making the item invalid. It changes no other bit.
 */
void s2_s390_rdp(const struct s2_place *place, uint64_t asce, struct s2_s390_regs *out);

/*
 * The numbers of struct s2_walk, for s2_lookup_as() and its like. top_lg2: 20 for gpa_bits of 31, 31
 * for 42, 42 for 53, 53 for 64. Invalid is bit 5 of a table's item and bit 10 of a page's; bit 10
 * of a table's is FC.
 */
#define S2_S390_WALK(top)                                                                          \
	{                                                                                          \
		.shape = S2_WALK_SHAPE('3', '9', '0', top), .usable = true,                        \
		.swap = __BYTE_ORDER__ != __ORDER_BIG_ENDIAN__, .top_lg2 = (top), .page_bits = 8,  \
		.upper_bits = 11, .hpa_bits = ~UINT64_C(0xfff), .table_mask = 0x420,               \
		.page_mask = 0x400, .block_mask = 0x420, .block_value = 0x400, .page_none = 0x400, \
	}

#ifdef __cplusplus
}
#endif
#endif

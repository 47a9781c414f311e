/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mock: a page-table format that no machine has, made so that what is right by luck on real
 * formats goes wrong here. For tests. This comment defines it; nothing else does.
 *
 * Items are 64 bits, big-endian in memory. An hpa has 48 bits. Bit numbers count from 0, the least
 * significant. "a:b" is a field whose highest bit is a and whose lowest is b.
 *
 *	level				0	1	2	3
 *	log2 of bytes per item		12	19	29	35
 *	index, bits of the gpa		18:12	28:19	34:29	from 35
 *	bytes of a table but the root	4096	8192	8192	-
 *	what a valid item is		leaf	either	either	table
 *	items of a group		4	8	-	-
 *
 * A table is aligned to its size. Tables of level 0 have 128 items and those of level 2 have 64,
 * and then zeros. A gpa has 32 to 48 bits; the root is of level 2 up to 38 bits, else of level 3,
 * and is as large as it must be, 8 to 8192 items.
 *
 *	level				0	1	2	3
 *	none				0	0x401	0x010	0
 *	V, item is valid		2	63	0	62
 *	B, item is broken, V is 0	5	3	11	6
 *	T, item is a table		-	7	-	-	1 at level 3, 0 at level 0
 *	L, item is a leaf		-	-	1	-
 *	RIGHTS				11:8	59:56	8:5	-	inverted at level 1
 *	KIND				14:12	62:60	4:2	-	enum s2_mem
 *	G, leaf of a group		15	2	-	-
 *	NA, not accessed		16	1	9	-
 *	D, dirty			17	0	10	-
 *	POS, which one of its group	-	13:11	-	-	0 in single leaves
 *	FRAME, of a leaf		61:26	42:14	63:45	-	hpa >> 12, 19, 29
 *	TABLE, of a table		-	51:16	63:29	46:12	hpa >> 12, 13, 13
 *
 * RIGHTS has S2_READ at its lowest bit, then S2_WRITE, S2_EXEC, S2_EXEC_USER. Some right must be
 * there, and write must not be without read. FRAME of level 1 is 2^29 - 1 - (hpa >> 19). All bits
 * that are not named for the level and for leaf or table are 0.
 *
 * A group is 4 or 8 neighbouring leaves that translate an aligned stretch to an aligned stretch.
 * All have G, the FRAME of the first, and the same KIND and RIGHTS; POS at level 1 counts 0 to 7.
 * The machine may cache a group as one entry, and takes any item of it.
 *
 * The machine faults on a leaf that is NA, and on a write to one that is not D, even where RIGHTS
 * allow it. With S2_MOCK_MACHINE_MARKS it instead clears NA, and on an allowed write sets D, in the
 * item that it used and in no other of the group.
 *
 * It may cache any valid item, and must never meet a valid item in the place of another valid one
 * that differs in more than RIGHTS, NA and D: break first. With S2_MOCK_FLUSH_ON_MAP it may cache
 * that an item is none.
 */
#ifndef STAGE2_MOCK_H
#define STAGE2_MOCK_H

#include <stage2/fmt.h>

#ifdef __cplusplus
extern "C" {
#endif

/* gpa_bits: 32 to 48. hpa_bits: 30 to 48. */
extern const struct s2_fmt s2_fmt_mock;

#define S2_MOCK_MACHINE_MARKS 1u /* the machine sets accessed and dirty by itself */
#define S2_MOCK_FLUSH_ON_MAP 2u	 /* none to leaf owes a flush */
#define S2_MOCK_FEATURES_ALL (S2_MOCK_MACHINE_MARKS | S2_MOCK_FLUSH_ON_MAP)

#ifdef __cplusplus
}
#endif
#endif

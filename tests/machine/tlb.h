/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the TLB: tlb.c fills and uses it, audit.c compares it with the tables. */
#ifndef TESTS_MACHINE_TLB_H
#define TESTS_MACHINE_TLB_H

#include "walk.h"

enum tlb_kind {
	TLB_LEAF = 0,
	TLB_NONE = 1, /* that there is nothing */
	TLB_WALK = 2, /* a pointer to a table */
};

struct tlb_entry {
	uint64_t page; /* for which it was filled: gpa >> 12 */
	uint64_t gpa;  /* first byte that it serves */
	uint64_t hpa;  /* of the same; or of the table it points to */
	uint64_t item; /* hpa of the item it came from */
	uint64_t value;
	uint64_t table;		   /* that the item is in */
	uint32_t table_generation; /* a table may be freed, and another one be in its place */
	uint32_t target_generation;
	uint16_t first, last;
	uint8_t kind;
	uint8_t level; /* of the item */
	uint8_t lg2;   /* of what it serves */
	uint8_t prot;
	uint8_t mem;
	uint8_t lives;
	bool group, accessed, dirty, faded;
};

struct tlb {
	struct tlb_entry *entry;
	size_t count, room;
	uint32_t *slot; /* hash table of places in entry */
	size_t slot_count;
	struct tlb_dropped {
		uint64_t gpa;
		uint8_t lives;
	} * dropped;
	size_t dropped_count, dropped_room;
};

/* tag: 0 for pages, 1 + level of the item for pointers to tables; key: gpa in units of it. */
struct tlb_entry *tlb_find(const struct machine *m, unsigned tag, uint64_t key);
void tlb_remove(struct machine *m, size_t at);
bool tlb_check_change(struct machine *m, const struct tlb_entry *e);
void tlb_note_dropped(struct machine *m, const struct tlb_entry *e);

#endif

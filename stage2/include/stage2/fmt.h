/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page-table formats: what one supplies, and what the library makes of it.
 *
 * A format is one C file. It defines the macros and the static inline functions that are listed
 * here, then includes <stage2/engine/engine.h>, which is compiled for this format alone and defines the
 * one symbol that the outside sees, a const struct s2_fmt. Formats are pure: values in, values
 * out; no instructions, no allocation, no memory access. Only the engine touches table memory.
 * arch/README.md tells how to write one.
 *
 * The words. An item is one slot of a table, 64 bits. An entry is all the items of one translation:
 * one item, or a group of 2^n neighbours that the machine may cache as one. An item is none, a leaf,
 * or a table (a pointer to a table of the level below). Level 0 is where all entries are leaves.
 * An item at level n translates 2^fmt_lg2(n) bytes.
 *
 * A leaf besides its address has: rights (S2_READ, ...); a kind of memory; accessed; dirty. An item
 * that is not accessed, or is writable but not dirty, may be one on which the machine faults where it
 * does not keep these marks itself; it is a leaf all the same. A fresh leaf is accessed and dirty.
 *
 *	#define FMT_NAME	"name"			for people
 *	#define FMT_SYMBOL	s2_fmt_name		what is exported
 *	#define FMT_BIG_ENDIAN	0			byte order of items in memory: 0 or 1
 *	#define FMT_LEVELS	5			levels that a space can have at most
 *
 * Geometry; the engine calls these with constants wherever speed matters:
 *
 *	unsigned fmt_lg2(unsigned level)		log2 of the bytes that an item translates
 *	unsigned fmt_items_lg2(unsigned level)		log2 of the items in a table but the root
 *	size_t fmt_table_bytes(unsigned level)		bytes of such a table: its items, then zeros
 *							(levels above 0: all the same)
 *	unsigned fmt_group_lg2(unsigned level)		log2 of the items of a group; 0: has none
 *
 * The space. fmt_init checks config (gpa_bits, hpa_bits, features) and sets s->top, s->root_size,
 * s->last, s->hpa_last, and s->leaf_kinds[level] for each level that has leaves (S2_KIND_SINGLE, or
 * with groups S2_KIND_SINGLE | S2_KIND_GROUP); it may keep what it likes in s->fmt_data. Fails with
 * S2_ERR_FORMAT.
 *
 *	enum s2_err fmt_init(struct s2_space *s)
 *
 * Items; v is a value in the processor's byte order:
 *
 *	uint64_t fmt_none(unsigned level)		an item that says nothing; for the level of
 *							its table; its bits from 12 up are zero
 *	bool fmt_is_leaf(uint64_t v, unsigned level)
 *	bool fmt_is_table(uint64_t v, unsigned level)	false for level 0
 *	uint64_t fmt_table(const struct s2_space *s, uint64_t hpa, unsigned level)
 *	uint64_t fmt_table_hpa(const struct s2_space *s, uint64_t v, unsigned level)
 *
 * Leaves. fmt_attr says rights and kind as bits of an item, accessed and dirty; false if that cannot
 * be said. prot and mem are known to be in their enums and prot not 0; *attr does not become 0.
 *
 *	bool fmt_attr(const struct s2_space *s, unsigned prot, unsigned mem, uint64_t *attr)
 *	uint64_t fmt_leaf(const struct s2_space *s, uint64_t attr, uint64_t hpa, unsigned level)
 *							a single item
 *	uint64_t fmt_step(unsigned level)		from a leaf to that of the next item's address
 *	uint64_t fmt_group(uint64_t v, unsigned level)	from the single leaf that would be the first
 *							of a group to the group's first item
 *	uint64_t fmt_group_step(unsigned level)		from an item of a group to the next
 *	bool fmt_is_group(uint64_t v, unsigned level)
 *	uint64_t fmt_hpa_bits(unsigned level)		bits of a leaf that hold its address and nothing
 *							else, in a leaf of any kind; not all need be told
 *	uint64_t fmt_hpa(const struct s2_space *s, uint64_t v, unsigned level, uint64_t gpa)
 *							what the first byte of this item becomes; gpa
 *							is that byte's address
 *	uint64_t fmt_move(const struct s2_space *s, uint64_t v, unsigned level, uint64_t hpa,
 *			  unsigned to)			the single leaf of level to for this address,
 *							in all else like v, which is of level
 *	uint64_t fmt_protect(const struct s2_space *s, uint64_t v, uint64_t attr, unsigned level)
 *							v with the rights of attr; kind, accessed and
 *							dirty stay (dirty is kept even in leaves that
 *							are not writable)
 *	void fmt_decode(const struct s2_space *s, uint64_t v, unsigned level, struct s2_leaf *out)
 *							sets prot, mem, group, accessed, dirty
 *	bool fmt_valid(const struct s2_space *s, uint64_t v, unsigned level)
 *							can this value, of any kind, have been made
 *							by the functions here? (reserved bits, ranges)
 *
 *	void fmt_walk(const struct s2_space *s, struct s2_walk *walk)
 *							the same as numbers, so that inline code can
 *							walk; may leave walk->usable false. The same
 *							as the header's macro for top_lg2 0, which
 *							the library sets, and else shape 0: see
 *							S2_WALK_SHAPE(). hpa_last and last of a space
 *							with numbers are all ones. Values that
 *							do not match any mask are left to the functions
 *							above: groups, or bits of addresses elsewhere
 *
 * Marks:
 *
 *	bool fmt_keeps_accessed(const struct s2_space *s)	can leaves say "not accessed"?
 *	bool fmt_is_accessed(const struct s2_space *s, uint64_t v, unsigned level)
 *	uint64_t fmt_set_accessed(const struct s2_space *s, uint64_t v, unsigned level, bool on)
 *	bool fmt_is_writable(const struct s2_space *s, uint64_t v, unsigned level)
 *	bool fmt_is_dirty(const struct s2_space *s, uint64_t v, unsigned level)
 *	uint64_t fmt_set_dirty(const struct s2_space *s, uint64_t v, unsigned level, bool on)
 *	bool fmt_machine_writes(const struct s2_space *s, uint64_t v, unsigned level)
 *							may the machine change this leaf by itself
 *							(to set a mark that is not set)?
 *
 * Changing what is live:
 *
 *	enum s2_replace fmt_replace(const struct s2_space *s, unsigned level, bool group)
 *							how a live leaf or table of this level is
 *							replaced by one of another size, or the items
 *							of a group by single ones
 *	bool fmt_flush_on_map(const struct s2_space *s)	does none to leaf owe a flush?
 *	bool fmt_purges(void)				constant. Live items must be changed, and be
 *							made none, by the calls invalidate and replace
 *							of struct s2_mmu, never by a plain store while
 *							they are valid. All functions that read leaves
 *							say of one that invalidate has made invalid
 *							what they say of it otherwise
 *	uint64_t fmt_break(uint64_t v, unsigned level)	a live item made invalid for the machine
 *							and still readable for us: differs from none;
 *							bits 1 to 11 are not all zero
 *	bool fmt_is_broken(uint64_t v, unsigned level)
 *	uint64_t fmt_unbreak(uint64_t v, unsigned level)
 *	uint64_t fmt_fade(uint64_t v, unsigned level)	for S2_REPLACE_FADE: a live leaf marked "do
 *							not cache in a way that could conflict"
 *
 * All four are constant (false, v) in formats that never use them.
 */
#ifndef STAGE2_FMT_H
#define STAGE2_FMT_H

#include <stage2/map.h>

#ifdef __cplusplus
extern "C" {
#endif

enum s2_replace {
	S2_REPLACE_BREAK = 0, /* break, flush at once, make */
	S2_REPLACE_SWAP = 1,  /* swap one live value for the other; a flush is owed */
	S2_REPLACE_FADE =
		2, /* leaf to table and back: mark, flush at once, swap; a flush is owed */
	S2_REPLACE_PURGE = 3, /* the machine compares, replaces and purges in one instruction */
};

/* Made by <stage2/engine/engine.h>, used by the library; formats do not fill it in by hand. */
struct s2_fmt {
	const char *name;
	unsigned levels;
	bool big_endian;

	/* The format's functions, for code that is not in a hurry and for tests. */
	enum s2_err (*init)(struct s2_space *s);
	unsigned (*lg2)(unsigned level);
	unsigned (*items_lg2)(unsigned level);
	unsigned (*group_lg2)(unsigned level);
	size_t (*table_bytes)(unsigned level);
	uint64_t (*none)(unsigned level);
	bool (*attr)(const struct s2_space *s, unsigned prot, unsigned mem, uint64_t *attr);
	uint64_t (*leaf)(const struct s2_space *s, uint64_t attr, uint64_t hpa, unsigned level);
	uint64_t (*group)(uint64_t v, unsigned level);
	uint64_t (*group_step)(unsigned level);
	uint64_t (*hpa)(const struct s2_space *s, uint64_t v, unsigned level, uint64_t gpa);
	void (*decode)(const struct s2_space *s, uint64_t v, unsigned level, struct s2_leaf *out);
	bool (*valid)(const struct s2_space *s, uint64_t v, unsigned level);
	uint64_t (*table_hpa)(const struct s2_space *s, uint64_t v, unsigned level);
	void (*walk)(const struct s2_space *s, struct s2_walk *walk);
	bool (*keeps_accessed)(const struct s2_space *s);
	bool (*purges)(void);
	bool (*flush_on_map)(const struct s2_space *s);

	void (*fill_none)(uint64_t *table, unsigned level, size_t count);
	void (*retire)(const struct s2_space *s, struct s2_gather *g); /* all tables but the root */

	/* The operations of map.h; arguments have been checked, locks are held. */
	void (*bound)(const struct s2_space *s, const struct s2_run *runs, size_t run_count,
		      struct s2_table_count *out);
	enum s2_err (*map)(struct s2_space *s, const struct s2_run *runs, size_t run_count,
			   unsigned prot, uint64_t attr, struct s2_gather *g,
			   struct s2_budget *budget);
	enum s2_err (*unmap)(struct s2_space *s, struct s2_range range, struct s2_gather *g,
			     struct s2_budget *budget);
	enum s2_err (*protect)(struct s2_space *s, struct s2_range range, uint64_t attr,
			       struct s2_gather *g, struct s2_budget *budget);
	enum s2_err (*split)(struct s2_space *s, struct s2_range range, uint8_t lg2,
			     struct s2_gather *g, struct s2_budget *budget);
	/* lg2 0: takes out empty tables, and nothing else. */
	void (*collapse_all)(struct s2_space *s, struct s2_range range, uint8_t lg2,
			     struct s2_gather *g, struct s2_budget *budget);
	enum s2_err (*lookup)(const struct s2_space *s, s2_gpa_t gpa, s2_hpa_t *hpa);
	void (*query)(const struct s2_space *s, s2_gpa_t gpa, struct s2_leaf *out);
	uint64_t (*age)(struct s2_space *s, struct s2_range range, struct s2_gather *g);
	enum s2_err (*touch)(struct s2_space *s, s2_gpa_t gpa, bool write, struct s2_gather *g);
	void (*dirty_mark)(struct s2_space *s, struct s2_range range, bool dirty,
			   struct s2_gather *g, struct s2_budget *budget);
	void (*dirty_collect)(struct s2_space *s, struct s2_range range, bool clear,
			      void (*tell)(void *cookie, struct s2_range range), void *cookie,
			      struct s2_gather *g);
	bool (*visit)(const struct s2_space *s,
		      bool (*visit)(void *cookie, const struct s2_item *item), void *cookie);
};

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machines that are stricter than hardware: for each page-table format an MMU that walks the tables
 * in memory, with a TLB that forgets nothing until it is told to, and with memory for the tables
 * that is poisoned when it is freed. Written from the architectures' manuals; shares no code with
 * arch/ but the bits of features.
 *
 *	struct machine m;
 *	struct s2_config config;
 *	struct s2_space s;
 *
 *	machine_init(&m, &machines[i], fmt, &config);   all of config is filled in
 *	s2_space_init(&s, &config);
 *	machine_set_root(&m, s2_space_root(&s));
 *	machine_touch_range(&m, range);                 load the TLB around what will change
 *	... s2_unmap(&s, range, &g, NULL); s2_gather_sync(&g);
 *	machine_audit(&m);                              is anything stale?
 *	machine_access(&m, gpa, MACHINE_WRITE, &r);     as a guest would, through the TLB
 *	ck_assert_msg(machine_ok(&m), "%s", machine_error_detail(&m));
 *	s2_space_fini(&s);
 *	ck_assert_uint_eq(m.pool.live, 0);              leaks
 *	machine_fini(&m);
 *
 * A violation never stops the program: the first one is kept as text, and machine_ok() is false
 * from then on. What makes a violation:
 *
 *  - an item that the manual does not define, wherever a walk or a fill meets it: reserved bits or
 *    encodings, unaligned or too large addresses, groups whose items do not agree, tables that
 *    are not live;
 *  - stale: after a sync (machine_audit) the TLB holds a translation that the tables do not give,
 *    or that allows more, or that is marked dirty or accessed where the tables are not, or a
 *    pointer to a table that the tables do not hold. Less than the tables allow is counted as
 *    spurious;
 *  - a table that is freed while the TLB still holds a pointer to it;
 *  - where live items must be broken before they are made anew: an item that the TLB holds has
 *    become another one with no flush between (seen at the next flush or audit);
 *  - where live items must be changed by purge: a plain store to one that the TLB holds;
 *  - calls of the back end that say what is not so: places, levels, ranges, cookies.
 *
 * After each flush the machine fills the TLB again with what the tables say at that moment, as a
 * processor that speculates may: so that what is changed between a break and its make is seen too.
 *
 * The calls of the back end and of the allocator may come from several threads. All else is for
 * one, and while others change tables, walks may take what is half done for wrong: use them when it
 * is quiet.
 */
#ifndef TESTS_MACHINE_MACHINE_H
#define TESTS_MACHINE_MACHINE_H

#include <pthread.h>

#include <stage2/fmt.h>

enum machine_kind {
	MACHINE_MOCK = 0,
	MACHINE_ARM64 = 1,
	MACHINE_RISCV = 2,
	MACHINE_EPT = 3,
	MACHINE_NPT = 4,
	MACHINE_S390 = 5,
	MACHINE_KIND_COUNT
};

/* One machine worth testing: the table machines[] has them all. */
struct machine_variant {
	const char *name;
	enum machine_kind kind;
	uint8_t gpa_bits;
	uint8_t hpa_bits;
	uint64_t features; /* as in struct s2_config, from the format's header */

	/* What a space of this kind must turn out to be, by the manuals. */
	uint64_t leaf_sizes;  /* bit n: leaves of 2^n bytes; groups too */
	uint64_t group_sizes; /* those that are groups of items */
	uint64_t root_items;  /* that the MMU can reach */
	uint8_t top;	      /* level of the root */
};

extern const struct machine_variant machines[];
extern const size_t machine_count;

/* The variant with this name; NULL if there is none. */
const struct machine_variant *machine_find(const char *name);

/* Can the format say these rights with this kind of memory? (prot in S2_PROT_ALL, not 0.) */
bool machine_can_say(const struct machine_variant *v, unsigned prot, enum s2_mem mem);

/* Does the machine by itself mark what is accessed; what is dirty? */
bool machine_marks_accessed(const struct machine_variant *v);
bool machine_marks_dirty(const struct machine_variant *v);

/* May it cache that there is nothing, so that none to leaf owes a flush? */
bool machine_caches_none(const struct machine_variant *v);

/*
 * Memory for tables. One arena; hpa == address + hpa_offset, and no hpa is the same as its address.
 * What is allocated is full of rubbish that the MMU would take for leaves. What is freed is
 * poisoned, kept from reuse for a while, and must still be poison then; with AddressSanitizer it
 * cannot be read.
 */
#define POOL_GRAIN 1024u
#define POOL_CLASSES 12u

struct pool_block {
	uint32_t size; /* asked for; 0 if this grain does not start a block */
	uint32_t next; /* in the queue of freed blocks */
	uint32_t generation;
	uint32_t pointers; /* to this table, in the TLB */
	bool live;
	uint8_t prot;  /* as reached in this pass: what the levels above allow */
	uint64_t gpa;  /* likewise: of the first byte that the table translates */
	uint64_t pass; /* number of the audit or scan that has reached it from the root */
};

struct pool {
	struct s2_table_env env; /* for struct s2_config */
	unsigned char *memory;
	uint64_t hpa; /* of the first byte */
	size_t size;
	uint32_t grain_count, never_used;
	struct pool_block *block; /* one for each grain */
	struct pool_queue {
		uint32_t first, last, count;
	} freed[POOL_CLASSES];
	uint32_t quarantine;	 /* so many of a size are kept from reuse */
	size_t live, live_bytes; /* allocated and not yet freed */
	size_t live_max;
	size_t calls;	  /* of alloc */
	size_t fail_from; /* this call of alloc fails, and all after it; 0: none */
	uint64_t rubbish; /* what fresh memory holds */
	struct machine *machine;
};

/* Whether reading or writing a freed table stops the program: with AddressSanitizer. */
extern const bool pool_traps;

/* The n-th allocation from now fails, and all after it; 0 ends that. */
void pool_fail(struct pool *p, size_t n);

/* The live table that starts at this hpa; NULL if there is none. */
struct pool_block *pool_find(const struct pool *p, uint64_t hpa);

enum machine_access {
	MACHINE_READ = 0,
	MACHINE_WRITE = 1,
	MACHINE_EXEC = 2,      /* by the guest's kernel */
	MACHINE_EXEC_USER = 3, /* by the guest's user programs */
	MACHINE_ACCESS_COUNT
};

enum machine_fault {
	MACHINE_OK = 0,
	MACHINE_OUTSIDE = 1,	  /* gpa past the end of the space */
	MACHINE_ABSENT = 2,	  /* no translation; level says where the walk ended */
	MACHINE_DENIED = 3,	  /* there is one, with less rights */
	MACHINE_NOT_ACCESSED = 4, /* to be marked accessed by software */
	MACHINE_NOT_DIRTY = 5,	  /* to be marked dirty by software */
	MACHINE_WRONG = 6,	  /* not defined: hardware may do anything. Always a violation */
};

/* An entry, as the MMU understands it. */
struct machine_leaf {
	uint64_t gpa; /* of the entry's first byte; groups: of the whole group's */
	uint64_t hpa; /* of the same */
	uint8_t lg2;  /* of its size; groups: of the whole group's */
	uint8_t level;
	uint8_t prot; /* S2_READ, ...; all levels taken together. With S2_WRITE if the machine would
			 let a write through after setting the dirty mark by itself */
	uint8_t mem;  /* enum s2_mem */
	bool group;
	bool accessed; /* groups: any of the items. True where the machine knows no such mark */
	bool dirty;    /* likewise. Marks of software alone are nothing to the machine */
	bool faded;    /* marked "do not cache in a way that could conflict" */
};

struct machine_step {
	uint64_t table; /* hpa */
	uint64_t item;	/* hpa */
	uint64_t value; /* in the processor's byte order */
	uint8_t level;
	uint8_t prot; /* what the levels above allow */
};

/* What a walk from the root says. */
struct machine_walk {
	enum machine_fault fault; /* OK, OUTSIDE, ABSENT, WRONG */
	const char *why;	  /* of WRONG */
	unsigned steps;
	struct machine_step step[S2_LEVEL_MAX]; /* from the root on; the last one ended the walk */
	struct machine_leaf leaf;		/* if OK */
	uint64_t hpa;				/* of gpa itself, if OK */
};

struct machine_result {
	enum machine_fault fault;
	const char *why;	  /* of WRONG */
	uint64_t hpa;		  /* if OK */
	struct machine_leaf leaf; /* if there is one: OK, DENIED, NOT_ACCESSED, NOT_DIRTY */
	uint8_t level;		  /* ABSENT: of the item that is not valid */
	bool cached;		  /* from the TLB alone, nothing was read */
	bool spurious;		  /* a fault that a walk from the root would not have raised */
};

/* Everything that was asked of the machine, and what it noticed that is no violation. */
struct machine_stats {
	uint64_t flush_calls;
	uint64_t flush_ranges[3]; /* by enum s2_flush_kind */
	uint64_t flush_dropped;	  /* TLB entries */
	uint64_t flush_useless;	  /* ranges, not ALL, that dropped nothing */
	uint64_t invalidate_calls, invalidate_items;
	uint64_t invalidate_idle;	      /* items that were not valid before */
	uint64_t replace_calls, replace_lost; /* lost: returned false */
	uint64_t clean_calls, clean_bytes;
	uint64_t code_calls, code_bytes;
	uint64_t mapped_calls, mapped_bytes;
	uint64_t relax_calls;
	uint64_t fills, hits, walks;
	uint64_t marks_accessed, marks_dirty; /* set in memory by the machine */
	uint64_t spurious; /* entries found by audits to allow less than the tables */
	uint64_t violations;
};

struct tlb;	    /* tlb.c */
struct machine_ops; /* walk.h */

/* Bytes of host memory, as sorted stretches that do not touch. */
struct machine_set {
	struct machine_stretch {
		uint64_t start, last;
	} * stretch;
	size_t count, room;
};

struct machine {
	const struct machine_variant *variant;
	const struct machine_ops *ops;
	uint64_t features;
	uint8_t gpa_bits, hpa_bits;
	uint8_t top;
	uint64_t root; /* hpa */
	uint64_t root_items;
	uint64_t pass;	      /* audits and scans so far */
	pthread_mutex_t lock; /* held in calls of the back end and of the allocator */

	struct pool pool;
	struct tlb *tlb;
	/* Tests may change flush_max, which is "never", and take out what may be NULL. */
	struct s2_mmu mmu;
	struct machine_stats stats;
	const char *error;	     /* of the first violation; NULL if there was none */
	char detail[160], text[256]; /* addresses and values, to go with it */

	/*
	 * Switches. machine_init() sets the first two, and the rest to false.
	 *
	 *   speculate       fill the TLB again after each flush
	 *   strict_marks    "accessed" in the TLB, and not in the tables, is stale
	 *   strict_absent   where machines cache that an item is not valid: if it was one of a
	 *                   level above 0 that has become a table, only WALK drops it, not LEAF
	 *   need_clean      what becomes visible must have been cleaned, unless it is a device,
	 *   need_code       and if it can be executed, invalidate_code must have been called for it
	 */
	bool speculate, strict_marks, strict_absent, need_clean, need_code;

	struct machine *next; /* all that there are: a call for none of them is a violation */

	/* Memory that clean and invalidate_code were called for since machine_host_wrote(). */
	struct machine_set clean, code;

	/* Called first of all by the calls of the back end; a test's own. May be NULL. */
	void *hook_cookie;
	void (*on_flush)(void *cookie, struct machine *m, const struct s2_flush *f, size_t count);
	void (*on_clean)(void *cookie, struct machine *m, uint64_t hpa, uint64_t len, bool code);
	void (*on_purge)(void *cookie, struct machine *m, const struct s2_place *place,
			 size_t count);
	void (*on_mapped)(void *cookie, struct machine *m, const struct s2_run *run, unsigned prot);
	/* Called last of all by invalidate: what others may see now, until something is stored. */
	void (*on_invalid)(void *cookie, struct machine *m, const struct s2_place *place,
			   size_t count);
};

/*
 * Makes a machine, and fills in a config for a space on it: fmt, features, sizes, tables, mmu,
 * mmu_cookie; the rest is 0 and may be changed (leaf_sizes, clean, lock). The machine must stay
 * where it is. fmt may be NULL. Aborts if there is no memory.
 */
void machine_init(struct machine *m, const struct machine_variant *v, const struct s2_fmt *fmt,
		  struct s2_config *config);
void machine_fini(struct machine *m);

/* Points the MMU at the tables; empties the TLB. */
void machine_set_root(struct machine *m, s2_hpa_t root);

/* Has there been no violation? */
bool machine_ok(const struct machine *m);

/* The first violation, in words that depend on nothing else; "" if there was none. */
const char *machine_error(const struct machine *m);

/* The same with addresses and values. */
const char *machine_error_detail(struct machine *m);
void machine_clear_error(struct machine *m);

/*
 * An access by a guest. What the TLB holds is used first, stale or not; what is read from the
 * tables is kept. Sets accessed and dirty marks in memory where the machine does so. Returns
 * whether the access succeeds.
 */
bool machine_access(struct machine *m, uint64_t gpa, enum machine_access access,
		    struct machine_result *r);

/* What the tables say: without the TLB, without marks. WRONG is not counted as a violation here. */
void machine_walk(struct machine *m, uint64_t gpa, struct machine_walk *w);

/* Loads a page's translation, as speculation would: no marks, no faults. */
void machine_touch(struct machine *m, uint64_t gpa);

/*
 * Loads the TLB where a change of the range could go wrong: at and around both ends, at some pages
 * inside, and at both ends of every leaf that an end of the range cuts.
 */
void machine_touch_range(struct machine *m, struct s2_range range);

/* Compares all that the TLB holds with the tables; false on a violation. */
bool machine_audit(struct machine *m);

/* Likewise, for what intersects the range. */
bool machine_audit_range(struct machine *m, struct s2_range range);

/*
 * Walks all tables: every item must be defined; every table live, and linked once. Shows every leaf
 * in order of gpa, groups once, with accessed and dirty of any of their items. tables, if not NULL,
 * counts tables below the root by level. leaf may be NULL; false from it ends the scan.
 * False on a violation (or if leaf said so).
 */
bool machine_scan(struct machine *m, bool (*leaf)(void *cookie, const struct machine_leaf *leaf),
		  void *cookie, uint64_t tables[S2_LEVEL_MAX]);

/* Entries that the TLB holds: leaves, pointers to tables, and "not valid". */
size_t machine_cached(const struct machine *m);

/* Empties the TLB, without looking at what is in it: a machine that has been off. */
void machine_power_cycle(struct machine *m);

/* The host has written to memory: it is neither clean nor free of stale code. */
void machine_host_wrote(struct machine *m, s2_hpa_t hpa, uint64_t len);

/* Was clean (invalidate_code) called for all of this since the host wrote to it? */
bool machine_is_clean(const struct machine *m, s2_hpa_t hpa, uint64_t len, bool code);

/*
 * Host memory that the machine can address and that is not the pool's: what is below it, and above.
 */
struct machine_stretch machine_hpa_low(const struct machine *m);
struct machine_stretch machine_hpa_high(const struct machine *m);

/* For items of tables: in the processor's byte order. hpa must be in a live table. */
uint64_t machine_load(const struct machine *m, uint64_t item_hpa);
void machine_store(struct machine *m, uint64_t item_hpa, uint64_t value);

const char *machine_fault_name(enum machine_fault fault);
const char *machine_kind_name(enum machine_kind kind);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's own parts, for its tests. No machine is named here. */
#ifndef METAL_METAL_H
#define METAL_METAL_H

#include "guest.h"
#include "machine.h"

/* string.c: libstage2 needs these four, and so does the compiler. */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

/* What start.S of each machine calls on processor 0. */
_Noreturn void metal_main(void);

/* Where things are for the guest. Everything from TEST_GPA on is the tests'. */
#define GUEST_CODE_GPA UINT64_C(0x10000000)
#define TEST_GPA UINT64_C(0x40000000)

#define PAGE S2_PAGE_SIZE

/* What the command line has asked for (args.c). */
struct args {
	bool list;	   /* print the names of tests */
	bool counts;	   /* count instructions instead of testing */
	bool mutants;	   /* run the tests with each mutant of mmu.c */
	unsigned mutant;   /* the one that is on; 0 is none */
	uint64_t deadline; /* of one run of a guest, microseconds */
};

extern struct args args;

void args_read(const char *text);
/*
 * Was a test asked for? By its whole name, "kind/test", by one of the two, or by nothing at all; but
 * those on request must be named themselves.
 */
bool args_select(const char *kind, const char *test, bool on_request);
/* After all were asked about: ends the machine if a word was no test's name. */
void args_check(void);

/* Output: %s %c %u %d %x %llu %llx %#llx, and widths for numbers. One processor at a time. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Memory: blocks of 4 KiB to 4 MiB, aligned to their size, with undefined contents. What is freed is
 * filled with rubbish, so that whoever still uses it goes astray.
 */
extern char memory_start[]; /* from the link: what is free begins here */
void memory_init(uint64_t start, uint64_t end);
void *memory_alloc(size_t size); /* never NULL: the machine ends if there is no more */
void memory_free(void *block, size_t size);
uint64_t memory_used(void);
/* The same for the library: tables, maps of a tracker. */
extern const struct s2_env memory_env;

/* A guest in a space of its own, on this processor. */
struct world {
	const struct machine_space *kind;
	struct s2_mmu mmu;
	struct s2_space space;
	struct s2_gather gather;
	unsigned id; /* VMID */
	/* Carries out the guest's hypercalls; NULL: there are none but CALL_DONE. */
	uint64_t (*call)(struct world *w, uint64_t number, uint64_t a, uint64_t b);
	struct s2_track track; /* of the tests that share */
};

/*
 * A space with the guest's code in it, loaded on this processor. leaf_sizes: as in struct s2_config. Ends
 * the machine where it cannot.
 */
void world_open(struct world *w, const struct machine_space *kind, uint64_t leaf_sizes);
void world_close(struct world *w);

/* Shorthands; what the library returns is checked. Maps with the largest leaves that there can be. */
void world_map(struct world *w, uint64_t gpa, const void *host, uint64_t len, unsigned prot);
void world_unmap(struct world *w, uint64_t gpa, uint64_t len);
void world_protect(struct world *w, uint64_t gpa, uint64_t len, unsigned prot);
void world_sync(struct world *w);

/* The sizes that leaves of such a space can have, bit n for 2^n bytes. */
uint64_t kind_leaf_sizes(const struct machine_space *kind);

/* log2 of the largest leaf that size bytes can be made of. */
uint8_t largest_leaf(const struct world *w, uint64_t size);

/* Memory with a word in each page that says which page of it it is, and what it was made for. */
#define PATTERN_AT 0x108 /* where in the page */
void *pattern_alloc(uint64_t size, uint64_t seed);
uint64_t pattern(uint64_t seed, uint64_t page);
/* Does the guest read the pattern in the pages from first on, of memory mapped at gpa? */
bool pattern_reads(struct world *w, uint64_t gpa, uint64_t seed, uint64_t first, uint64_t count);

/*
 * Runs a function of the guest (guest.h) to its end, or to an exit that tests are to look at. Faults
 * for missing marks are answered by s2_touch(), and hypercalls but CALL_DONE by w->call.
 */
void guest_run(struct world *w, const char *function, uint64_t a, uint64_t b, uint64_t c,
	       struct guest_exit *e);
/* Goes on after an exit that the caller has seen to. */
void guest_resume(struct world *w, struct guest_exit *e);

/* Is it CALL_DONE with this value? If not, says what it was. */
bool guest_returns(struct world *w, const char *function, uint64_t a, uint64_t b, uint64_t value);
/* Is it a fault at gpa for this access, because of rights, or because nothing is mapped? */
bool guest_faults(struct world *w, const char *function, uint64_t gpa, unsigned access,
		  bool permission);

/* A line that says why a guest has stopped. */
void exit_print(const struct guest_exit *e);

/* Processor 1 runs guests for processor 0. */
bool other_start(void); /* false: there is no second processor */
void other_load(struct world *w);
/* Begins; faults at what is mapped are tried again: an entry may be broken for a moment. */
void other_run(const char *function, uint64_t a, uint64_t b);
/* Waits for its end. */
void other_wait(struct guest_exit *e);

/* A test, run for each kind of space of the machine. */
struct test {
	const char *name;
	void (*run)(const struct machine_space *kind);
	bool on_request; /* only where it is named: tests that are to fail */
};

extern const struct test leaf_tests[], rights_tests[], stale_tests[], mark_tests[], demand_tests[],
	cpu_tests[], share_tests[], bad_tests[]; /* each ends with a name of NULL */
/* Of what only this machine has, in its own folder; may be none. */
extern const struct test machine_tests[];

/* The test that runs has failed; once is enough. */
void test_fail(const char *file, int line, const char *what);
/* It cannot be run on this machine, and why. */
void test_skip(const char *why);
bool test_has_failed(void);

#define CHECK(condition)                                           \
	do {                                                       \
		if (!(condition)) {                                \
			test_fail(__FILE__, __LINE__, #condition); \
		}                                                  \
	} while (0)

/* What must hold for the machine to go on: reports, and ends with code 3. */
#define MUST(condition)                                        \
	do {                                                   \
		if (!(condition)) {                            \
			fatal(__FILE__, __LINE__, #condition); \
		}                                              \
	} while (0)
_Noreturn void fatal(const char *file, int line, const char *what);

/* Instructions and invalidations of each operation, one line each (counts.c). */
void counts_run(void);

/* The back end that spaces get: the machine's, counted, and in the image with mutants spoiled. */
struct s2_mmu mmu_of_machine(void);
struct flush_count {
	uint64_t calls; /* of flush */
	uint64_t ranges;
	uint64_t purges; /* of invalidate and replace */
};
extern struct flush_count flush_count;
extern const char *const mutant_names[]; /* from 1 on; ends with NULL; empty without mutants */
bool mutant_applies(unsigned mutant);

#endif

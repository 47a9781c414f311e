/* SPDX-License-Identifier: BSD-2-Clause */
/* stage2-bench: what the parts share. README.md tells how it measures. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stage2/stage2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	EXIT_USAGE = 64,
	EXIT_INTERNAL = 70, /* the library did not do what the row is about */
	EXIT_OS = 71,
	EXIT_CANT_CREATE = 73
};

/* One line on stderr: what is wrong and what to do. */
void error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* memory that cannot be had ends the program */
void *allocate(size_t size);

/* malloc() and free(), for what asks for an environment. */
extern const struct s2_env heap_env;

/* clock.c: best, median and worst of the samples of one thing. */
struct figure {
	double best;
	double median;
	double worst;
};

/* One way to do the work of a row: the library's, or a limit. Only run is timed. */
struct way {
	const char *name;
	void (*prepare)(void *cookie);
	void (*run)(void *cookie);
	bool (*check)(void *cookie); /* after the first run: was the work done? May be NULL */
};

#define WAYS_MAX 6
#define REPEAT_MAX 1000

/*
 * Runs the ways in turn, repeat times, so that a disturbance hits all of them. figure[i] is in ns for
 * each of units. Ways whose bit is set in by_wall have several threads: what passes is timed, and not
 * what this thread takes. Returns false if a check failed.
 */
bool measure(const struct way *ways, size_t way_count, void *cookie, unsigned by_wall,
	     unsigned repeat, double units, struct figure *figure);

/* What a row's figure is compared with. */
struct limit {
	const char *name;
	struct figure figure;
};

struct counted {
	const char *name;
	uint64_t value;
};

#define LIMITS_MAX 2
#define COUNTED_MAX 3

/* A row that was measured. */
struct result {
	const struct row *row;
	const struct format *format; /* NULL: the row has none */
	const char *absent;	     /* why there is no figure; NULL: there is one */
	struct figure figure;
	struct limit limit[LIMITS_MAX]; /* name NULL: no more */
	struct counted counted[COUNTED_MAX];
	double load;	    /* of the machine, before the row */
	uint64_t preempted; /* how often somebody else got the processor */
};

struct setup;

/* The first way is the library's, the others are limits. */
bool measure_row(const struct setup *setup, const struct way *ways, size_t way_count, void *cookie,
		 double units, struct result *result);

/* A row that can be measured. */
struct row {
	const char *name;
	const char *what;
	const char *unit;
	double reach;	  /* in multiples of the first limit; 0: nothing said */
	double elsewhere; /* what a small design reached on another machine, in unit; 0: not known */
	bool larger_is_better;
	bool has_format;
	bool (*measure)(const struct setup *setup, struct result *result);
	unsigned variant; /* for functions that measure several rows */
};

extern const struct row map_rows[];
extern const size_t map_row_count;
extern const struct row change_rows[];
extern const size_t change_row_count;
extern const struct row thread_rows[];
extern const size_t thread_row_count;
extern const struct row track_rows[];
extern const size_t track_row_count;
extern const struct row convert_rows[];
extern const size_t convert_row_count;
extern const struct row uv_rows[];
extern const size_t uv_row_count;

/* options.c: all of them, one after the other; NULL behind the last. */
const struct row *row_at(size_t index);

/* pool.c: table memory, faulted in beforehand. */
struct pool {
	unsigned char *base;
	size_t size;
	size_t used; /* from base on, has been handed out since the refill */
	void **free[8];
	size_t free_count[8];
	uint64_t freed; /* tables */
};

bool pool_init(struct pool *pool, size_t size);
void pool_fini(struct pool *pool);

/* All tables are free again, and hold ones, so that whoever wants zeros must write them. */
void pool_refill(struct pool *pool);

/* For struct s2_table_env; the cookie is the pool. */
void *pool_alloc(void *cookie, size_t size);
void pool_free(void *cookie, void *table, size_t size);

/* What a program is asked for. */
struct setup {
	const struct format *format;
	struct pool *pool;
	const uint32_t *order; /* the pages of guest memory, shuffled */
	uint64_t memory;       /* bytes of guest memory */
	unsigned repeat;
	int cpu[2]; /* [1] is -1 if there is no second one */
};

struct guest;

/* limits.c: the work of rows, written by hand for the tables of one format; count is in pages. */
struct limits {
	void (*store)(const struct guest *guest, const uint32_t *order, uint64_t count);
	void (*look_store)(const struct guest *guest, const uint32_t *order, uint64_t count);
	void (*store_runs)(const struct guest *guest, uint64_t count);
	uint64_t (*walk)(const struct guest *guest, const uint32_t *order, uint64_t count);
	uint64_t (*look_walk)(const struct guest *guest, const uint32_t *order, uint64_t count);
	void (*protect_scalar)(const struct guest *guest, uint64_t count);
	void (*protect_vector)(const struct guest *guest, uint64_t count);
};

extern const struct limits limits_arm64, limits_riscv, limits_ept, limits_npt, limits_s390;

/* guest.c; they return how many calls failed */
struct format {
	const char *name;
	const struct s2_fmt *fmt;
	uint64_t features;
	uint64_t group_features; /* and these where small leaves may be grouped; 0: no groups */
	uint8_t gpa_bits;
	uint8_t block_lg2; /* the smallest leaf above pages */
	const char *note;
	/* map-page, map-64k and lookup for this format alone, its numbers known at compile time. */
	unsigned (*map_pages)(struct guest *guest, const uint32_t *order, uint64_t count);
	unsigned (*map_runs)(struct guest *guest); /* of RUN_SIZE, all */
	unsigned (*lookup)(const struct guest *guest, const uint32_t *order, uint64_t count,
			   uint64_t *sum);
	const struct limits *limits;
};

extern const struct format formats[]; /* the first is arm64 */
extern const size_t format_count;

/* A space with guest memory. */
struct guest {
	const struct setup *setup;
	struct s2_mmu mmu;
	struct s2_space space;
	struct s2_gather gather;
	struct s2_range range;
	uint64_t **walk_cache;
	uint64_t flushes; /* calls */
	uint64_t flush_ranges;
	unsigned failed; /* calls that did not return S2_OK */
	bool open;
};

#define GUEST_GPA (UINT64_C(64) << 30)
#define GUEST_HPA (UINT64_C(128) << 30)
#define GUEST_FOLIO_LG2 (S2_FOLIO_ORDER_MAX + S2_PAGE_LG2)

#define LEAVES_4K (UINT64_C(1) << 12)
#define LEAVES_64K (UINT64_C(1) << 16)

/*
 * A fresh space in a refilled pool, with a walk cache or without; the guest that was there before is
 * closed.
 */
void guest_open(struct guest *guest, const struct setup *setup, uint64_t leaf_sizes,
		uint64_t memory, bool cache);
void guest_close(struct guest *guest);

/*
 * Bytes of the tables that translate so much memory in pages: 4 KiB a block in all formats, for behind the
 * items of s390's page tables there are as many PGSTEs.
 */
static inline uint64_t guest_table_bytes(const struct setup *setup, uint64_t memory)
{
	return memory >> setup->format->block_lg2 << S2_PAGE_LG2;
}

/* No space, and a pool in which so many bytes of tables are refilled. */
void guest_none(struct guest *guest, const struct setup *setup, uint64_t table_bytes);

/* All of the guest's memory, with one call. */
void guest_map(struct guest *guest);

/* The run of 64 KiB of the guest's memory that begins so many bytes behind its start. */
#define RUN_SIZE (UINT64_C(64) << 10)

static inline struct s2_run guest_run(uint64_t at)
{
	const struct s2_run run = {.gpa = s2_gpa(GUEST_GPA + at),
				   .hpa = s2_hpa(GUEST_HPA + at),
				   .len = RUN_SIZE,
				   .folio_order = 4};

	return run;
}

/* Takes the pages of whole blocks out again and leaves the tables. Returns how many calls failed. */
unsigned guest_empty(struct guest *guest, struct s2_range range, struct s2_gather *gather);

/* The root table, for limits. */
uint64_t *guest_root(const struct guest *guest);

/* What s390's machine stores, the only one that does: the bit for invalid, as IPTE and IDTE set it. */
void guest_purge(uint64_t *item, size_t count, unsigned level);

/* What a page's item has with these rights, but for the address; in the processor's byte order. */
uint64_t guest_leaf(const struct guest *guest, unsigned prot);

/* measure_row() of ways that use the guest, which is closed then; false also if anything failed in it. */
bool guest_measure(struct guest *guest, const struct setup *setup, void *cookie,
		   const struct way *ways, size_t way_count, double units, struct result *result);

/* Bytes that are mapped. */
uint64_t guest_mapped(const struct guest *guest);

/* limits.c: what a machine can do. */
void limit_memset(unsigned char *tables, uint64_t size);
void limit_link(unsigned char *tables, size_t size);
uint64_t limit_loop(uint64_t count);

/* host.c */
struct host {
	char cpu[128];
	char kernel[256];
	char governor[64];
	char date[32];
	const char *compiler;
	const char *flags;
	long cpus;
};

void host_read(struct host *host, int cpu);
double host_load(void);
uint64_t host_preempted(void);
bool host_pin(int cpu);

/* Up to two processors that we may use; first is -1 or the one to begin with. False: it is not ours. */
bool host_cpus(int first, int cpu[2]);

/* options.c */
struct options {
	const char *formats; /* lists of names; NULL: all */
	const char *rows;
	const char *json;
	uint64_t memory;
	unsigned repeat;
	int cpu; /* -1: any */
};

/* 0 or an exit code after one line. done: all that was asked for is printed already. */
int options_parse(int argc, char **argv, struct options *options, bool *done);

bool options_want_row(const struct options *options, const struct row *row);
bool options_want_format(const struct options *options, const struct format *format);

/* table.c */
void table_head(const struct host *host, const struct setup *setup);
void table_section(const struct format *format, bool relative);
void table_row(const struct result *result, const struct result *arm64);
void table_foot(void);

/* json_write.c: 0 or an exit code after one line. Can path be written? Before the work is done. */
int json_check(const char *path);
int json_write(const char *path, const struct host *host, const struct setup *setup,
	       const struct result *results, size_t result_count);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a space needs where many threads use it: memory for tables that is freed when no reader can be in
 * it any more, and a back end that counts and waits.
 *
 * Nothing here makes threads wait for each other but what a real environment would: with a lock around
 * everything ThreadSanitizer would find every race to be in order.
 */
#ifndef TESTS_STRESS_ENV_H
#define TESTS_STRESS_ENV_H

#include <check.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <stage2/arm64.h>
#include <stage2/mock.h>
#include <stage2/riscv.h>
#include <stage2/s390.h>
#include <stage2/x86.h>

#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#define WORKERS 4u
#define READERS 2u

/* How the guest of a format is imitated, which sets marks in memory. */
enum guest_kind {
	GUEST_NONE = 0,
	GUEST_ARM64,
	GUEST_EPT,
	GUEST_RISCV,
};

struct variant {
	const char *name;
	const struct s2_fmt *fmt;
	uint64_t features;
	uint8_t gpa_bits;
	enum guest_kind guest;
};

static const struct variant variants[] = {
	{"mock", &s2_fmt_mock, 0, 38, GUEST_NONE},
	{"mock-flush", &s2_fmt_mock, S2_MOCK_FLUSH_ON_MAP, 38, GUEST_NONE},
	{"arm64-cont", &s2_fmt_arm64, S2_ARM64_CONT, 39, GUEST_NONE},
	{"arm64-cont-ha-hd", &s2_fmt_arm64, S2_ARM64_CONT | S2_ARM64_HA | S2_ARM64_HD, 39,
	 GUEST_ARM64},
	{"arm64-cont-bbm1", &s2_fmt_arm64, S2_ARM64_CONT | S2_ARM64_BBM1, 39, GUEST_NONE},
	{"arm64-cont-bbm2", &s2_fmt_arm64, S2_ARM64_CONT | S2_ARM64_BBM2, 39, GUEST_NONE},
	{"riscv-svnapot", &s2_fmt_riscv, S2_RISCV_SVNAPOT | S2_RISCV_SVADU, 41, GUEST_RISCV},
	{"ept-ad", &s2_fmt_ept, S2_EPT_1G | S2_EPT_AD, 48, GUEST_EPT},
	{"s390", &s2_fmt_s390, S2_S390_EDAT1 | S2_S390_EDAT2 | S2_S390_IEP, 42, GUEST_NONE},
};

#define VARIANTS ((int)(sizeof(variants) / sizeof(variants[0])))

/* The first failure, from whatever thread. */
static char failure[300];
static bool blamed;

static inline bool has_failed(void)
{
	return __atomic_load_n(&blamed, __ATOMIC_RELAXED);
}

static inline void blame(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void blame(const char *format, ...)
{
	va_list args;

	if (!__atomic_exchange_n(&blamed, true, __ATOMIC_ACQ_REL)) {
		va_start(args, format);
		vsnprintf(failure, sizeof(failure), format, args);
		va_end(args);
	}
}

/* Each thread has its own numbers. */
static _Thread_local uint64_t random_state;

static inline uint64_t random_u64(void)
{
	uint64_t x = random_state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	random_state = x;
	return (x * UINT64_C(0x2545f4914f6cdd1d)) >> 16;
}

static inline unsigned below(unsigned n)
{
	return (unsigned)(random_u64() % n);
}

static inline bool chance(unsigned n)
{
	return below(n) == 0;
}

/*
 * Epochs: a reader says which one it is in, or 0 for none. A table that is freed waits until all readers
 * have been seen outside, or in a later one. Workers never wait for each other's tables: the contract
 * says that they need not.
 */
static uint64_t epoch = 1;
static uint64_t reader_epoch[READERS];

/* ThreadSanitizer knows no fences; it runs where the atomic operations around are fences as well. */
static inline void epoch_fence(void)
{
#ifndef UNDER_TSAN
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline void reader_enter(unsigned reader)
{
	__atomic_store_n(&reader_epoch[reader], __atomic_load_n(&epoch, __ATOMIC_RELAXED),
			 __ATOMIC_SEQ_CST);
	epoch_fence();
}

static inline void reader_leave(unsigned reader)
{
	__atomic_store_n(&reader_epoch[reader], 0, __ATOMIC_RELEASE);
}

/* Has every reader left what it was in when the epoch was this? */
static inline bool epoch_is_over(uint64_t then)
{
	for (unsigned i = 0; i < READERS; i++) {
		uint64_t in = __atomic_load_n(&reader_epoch[i], __ATOMIC_SEQ_CST);

		if (in != 0 && in <= then) {
			return false;
		}
	}
	return true;
}

/* Relaxed: workers must not be put in order by the epochs of their tables. */
static inline uint64_t epoch_end(void)
{
	uint64_t then = __atomic_fetch_add(&epoch, 1, __ATOMIC_RELAXED);

	epoch_fence();
	return then;
}

static inline void epoch_wait(void)
{
	uint64_t then = epoch_end();

	while (!epoch_is_over(then)) {
		sched_yield();
	}
}

/* Tables of one thread that wait to be freed. */
struct limbo {
	struct limbo_table {
		void *table;
		size_t size;
		uint64_t epoch;
	} table[4096];
	unsigned count;
	int64_t live; /* allocated, less freed, by this thread */
};

static _Thread_local struct limbo *limbo;

/* Frees what can be freed; all of it if all is true. */
static inline void limbo_drain(struct limbo *l, bool all)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < l->count; i++) {
		struct limbo_table *t = &l->table[i];

		if (!all && !epoch_is_over(t->epoch)) {
			l->table[kept++] = *t;
			continue;
		}
		memset(t->table, 0x6b, t->size);
		free(t->table);
	}
	l->count = kept;
}

static inline void *tables_alloc(void *cookie, size_t size)
{
	void *table = aligned_alloc(size, size);

	(void)cookie;
	if (table != NULL) {
		memset(table, 0x97, size);
		limbo->live++;
	}
	return table;
}

static inline void tables_free(void *cookie, void *table, size_t size)
{
	struct limbo *l = limbo;

	(void)cookie;
	l->live--;
	while (l->count == sizeof(l->table) / sizeof(l->table[0])) {
		limbo_drain(l, false);
		sched_yield();
	}
	l->table[l->count++] = (struct limbo_table){table, size, epoch_end()};
}

/* The back end. A flush is over when no access that began before it goes on. */
struct backend {
	const struct variant *variant;
	uint64_t flushes;
	uint64_t purges;
};

static inline void backend_flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	struct backend *b = cookie;

	for (size_t i = 0; i < count; i++) {
		if (flush[i].range.len == 0 || flush[i].stride_lg2 < S2_PAGE_LG2) {
			blame("%s: a flush of nothing", b->variant->name);
		}
	}
	__atomic_fetch_add(&b->flushes, count, __ATOMIC_RELAXED);
	if (b->variant->guest != GUEST_NONE) {
		epoch_wait();
	} else if (chance(2)) {
		sched_yield(); /* let others in where something is broken */
	}
}

static inline uint64_t big_endian(uint64_t v)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? v : __builtin_bswap64(v);
}

static inline void backend_invalidate(void *cookie, const struct s2_place *place, size_t count)
{
	struct backend *b = cookie;

	for (size_t i = 0; i < count; i++) {
		__atomic_fetch_or(place->item + i, big_endian(place->level == 0 ? 0x400 : 0x20),
				  __ATOMIC_ACQ_REL);
	}
	__atomic_fetch_add(&b->purges, count, __ATOMIC_RELAXED);
}

static inline bool backend_replace(void *cookie, const struct s2_place *place, uint64_t old,
				   uint64_t new_value)
{
	struct backend *b = cookie;
	uint64_t expected = big_endian(old);

	if (chance(4)) {
		sched_yield();
	}
	__atomic_fetch_add(&b->purges, 1, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n(place->item, &expected, big_endian(new_value), false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static inline void backend_relax(void *cookie)
{
	(void)cookie;
	sched_yield();
}

static const struct s2_mmu backend_mmu = {
	.flush = backend_flush,
	.invalidate = backend_invalidate,
	.replace = backend_replace,
	.relax = backend_relax,
	.flush_max = 512,
};

/* A space, and the pages that the threads use. */
#define PAGES_MAX 2600u

struct arena {
	struct s2_space s;
	struct backend backend;
	struct limbo main_limbo;
	struct limbo limbo[WORKERS];
	uint32_t lock[8];
	uint64_t **walk_cache; /* of all places where the pages can be */
	uint64_t gpa;	       /* of the first page */
	unsigned pages;
};

static inline uint64_t page_gpa(const struct arena *a, unsigned page)
{
	return a->gpa + page * S2_PAGE_SIZE;
}

static inline struct s2_range page_range(const struct arena *a, unsigned first, unsigned count)
{
	return s2_range(s2_gpa(page_gpa(a, first)), count * S2_PAGE_SIZE);
}

static inline uint64_t leaf_bytes(const struct arena *a, unsigned level)
{
	return UINT64_C(1) << a->s.fmt->lg2(level);
}

/* Pages around a border of leaf tables, of groups of them, and at times of a table above. */
static inline void arena_place(struct arena *a)
{
	uint64_t big = leaf_bytes(a, 2);
	uint64_t at = big * (2 + below(4)) - (chance(4) ? leaf_bytes(a, 1) : 0);

	a->pages = (unsigned)(leaf_bytes(a, 1) / S2_PAGE_SIZE) * (2 + below(3));
	a->pages = a->pages < PAGES_MAX ? a->pages : PAGES_MAX - below(64);
	a->gpa = at + (chance(2) ? 0 : S2_PAGE_SIZE * below(32));
}

static inline void arena_init(struct arena *a, const struct variant *v, bool locks)
{
	uint64_t big = UINT64_C(1) << v->fmt->lg2(2);
	struct s2_range places = s2_range(s2_gpa(big), 5 * big);
	struct s2_config config = {
		.fmt = v->fmt,
		.features = v->features,
		.gpa_bits = v->gpa_bits,
		.tables = {.alloc = tables_alloc, .free = tables_free},
		.mmu = &backend_mmu,
		.mmu_cookie = &a->backend,
		.lock = locks ? a->lock : NULL,
		.lock_count = locks ? sizeof(a->lock) / sizeof(a->lock[0]) : 0,
	};

	memset(a, 0, sizeof(*a));
	a->walk_cache = calloc(s2_walk_cache_words(v->fmt, places), sizeof(*a->walk_cache));
	ck_assert_ptr_nonnull(a->walk_cache);
	config.walk_cache = a->walk_cache;
	config.walk_cache_range = places;
	a->backend.variant = v;
	limbo = &a->main_limbo;
	ck_assert_int_eq(s2_space_init(&a->s, &config), S2_OK);
}

static inline int64_t arena_live(struct arena *a)
{
	int64_t live = a->main_limbo.live;

	for (unsigned i = 0; i < WORKERS; i++) {
		live += a->limbo[i].live;
	}
	return live;
}

/* No thread is at it: all is as it should be, and no table is lost. */
static inline void arena_check(struct arena *a)
{
	struct s2_count count;
	struct s2_item at;
	uint64_t tables = 1;

	for (unsigned i = 0; i < WORKERS; i++) {
		limbo_drain(&a->limbo[i], true);
	}
	limbo_drain(&a->main_limbo, true);
	if (!s2_check(&a->s, &at)) {
		blame("%s: s2_check: level %u gpa %#" PRIx64 " item %#" PRIx64,
		      a->backend.variant->name, at.place.level, at.place.gpa.val, at.value);
	}
	ck_assert_int_eq(s2_count(&a->s, s2_space_range(&a->s), &count), S2_OK);
	for (unsigned level = 0; level < S2_LEVEL_MAX; level++) {
		tables += count.table[level];
	}
	if ((int64_t)tables != arena_live(a)) {
		blame("%s: %" PRIu64 " tables, %" PRId64 " allocated", a->backend.variant->name,
		      tables, arena_live(a));
	}
}

static inline void arena_empty(struct arena *a)
{
	struct s2_gather g;

	s2_gather_init(&g, &a->s);
	ck_assert_int_eq(s2_unmap(&a->s, s2_space_range(&a->s), &g, NULL), S2_OK);
	s2_gather_fini(&g);
}

static inline void arena_fini(struct arena *a)
{
	s2_space_fini(&a->s);
	ck_assert_int_eq(arena_live(a), 0);
	limbo_drain(&a->main_limbo, true);
	free(a->walk_cache);
}

static inline uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif

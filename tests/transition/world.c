/* SPDX-License-Identifier: BSD-2-Clause */
/* Worlds: which there are, how one is made, what is in its memory. */
#include "world.h"

#include <stage2/arm64.h>
#include <stage2/mock.h>
#include <stage2/riscv.h>
#include <stage2/s390.h>
#include <stage2/x86.h>

struct world w;

static const struct s2_fmt *fmt_of(enum machine_kind kind)
{
	static const struct s2_fmt *const fmt[MACHINE_KIND_COUNT] = {
		[MACHINE_MOCK] = &s2_fmt_mock,	 [MACHINE_ARM64] = &s2_fmt_arm64,
		[MACHINE_RISCV] = &s2_fmt_riscv, [MACHINE_EPT] = &s2_fmt_ept,
		[MACHINE_NPT] = &s2_fmt_npt,	 [MACHINE_S390] = &s2_fmt_s390,
	};

	return fmt[kind];
}

/* Of a format: all machines that can address the world, or the last of them. */
static unsigned variants(const char *format, bool few, const struct machine_variant **out)
{
	unsigned count = 0;

	for (size_t i = 0; i < machine_count; i++) {
		const struct machine_variant *v = &machines[i];

		if (strcmp(machine_kind_name(v->kind), format) == 0 &&
		    machine_can_say(v, S2_RWX, S2_MEM_NORMAL) &&
		    machine_can_say(v, S2_RW, S2_MEM_NORMAL)) {
			out[few ? 0 : count] = v;
			count = few ? 1 : count + 1;
		}
	}
	return count;
}

unsigned choice_count(const char *format, bool few)
{
	const struct machine_variant *v[64];

	return variants(format, few, v) * BEHIND_COUNT;
}

struct choice choice_at(const char *format, bool few, unsigned n)
{
	const struct machine_variant *v[64];
	struct choice choice = {.behind = (enum behind)(n % BEHIND_COUNT)};

	variants(format, few, v);
	choice.v = v[n / BEHIND_COUNT];
	choice.all_mapped = choice.v->kind == MACHINE_S390 && choice.behind == BEHIND_UV;
	choice.rejoin = (enum s2_rejoin)((n + 2) % S2_REJOIN_COUNT);
	return choice;
}

uint64_t world_random(void)
{
	uint64_t x = w.random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	w.random = x;
	return (x * UINT64_C(0x2545f4914f6cdd1d)) >> 16;
}

uint64_t hpa_of(unsigned page)
{
	return (STORE_FIRST + w.store_page[page]) << S2_PAGE_LG2;
}

uint64_t *memory_of(unsigned page)
{
	return w.store + w.store_page[page] * (S2_PAGE_SIZE / sizeof(uint64_t));
}

static void add_run(unsigned page, unsigned store, unsigned count, uint8_t order)
{
	must(w.run_count < RUN_MAX);
	w.run[w.run_count++] = (struct s2_run){s2_gpa((GPA_FIRST + page) << S2_PAGE_LG2),
					       s2_hpa((STORE_FIRST + store) << S2_PAGE_LG2),
					       count * S2_PAGE_SIZE, order};
	for (unsigned i = 0; i < count; i++) {
		w.store_page[page + i] = store + i;
	}
}

/* Folios of all sizes; neighbours in gpa are none in hpa, but for those of 2 MiB and what follows. */
static void lay_out(void)
{
	add_run(0, 0, 512, 9);
	add_run(512, 528, 16, 4);
	add_run(528, 512, 16, 4);
	for (unsigned i = 0; i < 4; i++) {
		add_run(544 + 4 * i, 544 + 4 * (3 - i), 4, 2);
	}
	for (unsigned i = 0; i < 8; i++) {
		add_run(560 + i, 560 + (7 - i), 1, 0);
	}
	add_run(568, 576, 16, 4); /* not aligned alike */
	add_run(584, 594, 6, 4);  /* a part of a folio */
}

/* Each allocation is a step, and may be the one that fails. */
static bool alloc_fails(void)
{
	watch_step();
	w.alloc_calls++;
	if (w.alloc_fail != 0 && w.alloc_calls >= w.alloc_fail) {
		w.alloc_failed = true;
		return true;
	}
	return false;
}

static void *env_alloc(void *cookie, size_t size)
{
	return alloc_fails() ? NULL : test_env_alloc(cookie, size);
}

static void *tables_alloc(void *cookie, size_t size)
{
	const struct party *party = cookie;

	return alloc_fails() ? NULL : party->tables.alloc(party->tables.cookie, size);
}

static void tables_free(void *cookie, void *table, size_t size)
{
	const struct party *party = cookie;

	party->tables.free(party->tables.cookie, table, size);
}

static void on_flush(void *cookie, struct machine *m, const struct s2_flush *f, size_t count)
{
	(void)cookie;
	(void)m;
	(void)f;
	(void)count;
	watch_step();
}

static void on_purge(void *cookie, struct machine *m, const struct s2_place *place, size_t count)
{
	(void)cookie;
	(void)m;
	(void)place;
	(void)count;
	watch_step();
}

static void party_start(struct party *party, const uint8_t *prot, bool by_hpa)
{
	const struct machine_variant *v = w.choice.v;

	machine_init(&party->m, v, fmt_of(v->kind), &party->config);
	party->m.strict_absent = true;
	party->tables = party->config.tables;
	party->config.tables.alloc = tables_alloc;
	party->config.tables.free = tables_free;
	party->config.tables.cookie = party;
	must_err(s2_space_init(&party->space, &party->config), S2_OK);
	machine_set_root(&party->m, s2_space_root(&party->space));
	party->view.space = &party->space;
	party->view.by_hpa = by_hpa;
	memcpy(party->view.prot, prot, S2_STATE_COUNT);
	party->view.mem = S2_MEM_NORMAL;
	party->view.rejoin = w.choice.rejoin;
	must_err(s2_view_init(&party->view), S2_OK);
}

static void party_watch(struct party *party)
{
	party->m.on_flush = on_flush;
	party->m.on_purge = on_purge;
}

static void party_finish(struct party *party)
{
	party->m.on_flush = NULL;
	party->m.on_purge = NULL;
	s2_view_fini(&party->view);
	machine_power_cycle(&party->m);
	s2_space_fini(&party->space);
	must(party->m.pool.live == 0);
	if (!machine_ok(&party->m)) {
		ck_abort_msg("%s: %s", w.name, machine_error_detail(&party->m));
	}
	machine_fini(&party->m);
}

static void map_all(struct party *party, const struct s2_run *runs, size_t count, unsigned prot)
{
	must_err(s2_map(&party->space, runs, count, prot, S2_MEM_NORMAL, &party->view.gather, NULL),
		 S2_OK);
	s2_gather_sync(&party->view.gather);
}

/* Who starts with what: the host has all memory; the guest nothing, or all of its own as on s390. */
static void start_parties(void)
{
	static const uint8_t host[S2_STATE_COUNT] = {
		[S2_NONE] = S2_RW, [S2_SHARED] = S2_RW, [S2_EXPORTED] = S2_RW};
	static const uint8_t by_state[S2_STATE_COUNT] = {[S2_SECURE] = S2_RWX, [S2_SHARED] = S2_RW};
	static const uint8_t always[S2_STATE_COUNT] = {[S2_NONE] = S2_RWX,
						       [S2_SECURE] = S2_RWX,
						       [S2_SHARED] = S2_RWX,
						       [S2_EXPORTED] = S2_RWX};
	const struct s2_run store = {s2_gpa(STORE_FIRST << S2_PAGE_LG2),
				     s2_hpa(STORE_FIRST << S2_PAGE_LG2), STORE_PAGES * S2_PAGE_SIZE,
				     S2_FOLIO_ORDER_MAX};

	party_start(&w.guest, w.choice.all_mapped ? always : by_state, false);
	party_start(&w.host, host, true);
	map_all(&w.host, &store, 1, S2_RW);
	if (w.choice.all_mapped) {
		map_all(&w.guest, w.run, w.run_count, S2_RWX);
	}
}

void world_start(const struct choice *choice)
{
	static const char *const behind[BEHIND_COUNT] = {"toy", "ultravisor"};
	uint64_t random = w.random;

	memset(&w, 0, sizeof(w));
	w.random = random != 0 ? random : 1;
	w.choice = *choice;
	snprintf(w.name, sizeof(w.name), "%s, %s, rejoin %s", choice->v->name,
		 behind[choice->behind], s2_rejoin_name(choice->rejoin));
	w.running = -1;
	flat_init(&w.o.flat, GPA_FIRST, ORACLE_PAGES);
	for (unsigned i = 0; i < ORACLE_PAGES; i++) {
		w.o.page[i].job = -1;
		w.o.page[i].step = STEP_GUEST;
	}
	lay_out();
	w.store = calloc(STORE_PAGES, S2_PAGE_SIZE);
	must(w.store != NULL);
	test_env_init(&w.env);
	w.env.env.alloc = env_alloc;
	start_parties();
	must_err(s2_track_init(&w.track, &w.env.env, page_range(0, ORACLE_PAGES)), S2_OK);
	s2_pins_init(&w.pins, &w.env.env);
	w.o.track = &w.track;
	w.o.run = w.run;
	w.o.run_count = w.run_count;
	w.engine = (struct s2_engine){.track = &w.track,
				      .runs = w.run,
				      .run_count = w.run_count,
				      .backend = &w.backend,
				      .guest = &w.guest.view,
				      .host = &w.host.view,
				      .pins = &w.pins};
	behind_start();
	watch_near(0, ORACLE_PAGES);
	party_watch(&w.guest);
	party_watch(&w.host);
}

void world_finish(void)
{
	must(w.engine.jobs == NULL);
	party_finish(&w.guest);
	party_finish(&w.host);
	behind_finish();
	s2_pins_fini(&w.pins);
	must(w.env.live == 1 + w.track.map_count);
	s2_track_fini(&w.track);
	must(w.env.live == 0);
	free(w.store);
	w.store = NULL;
}

#define WORDS (S2_PAGE_SIZE / sizeof(uint64_t))

void fill_page(unsigned page, uint64_t seed, uint64_t step)
{
	uint64_t *word = memory_of(page);

	for (size_t i = 0; i < WORDS; i++) {
		word[i] = seed == 0 ? 0 : seed + i * step;
	}
}

bool page_holds(unsigned page, uint64_t seed, uint64_t step, unsigned every)
{
	const uint64_t *word = memory_of(page);
	uint64_t wrong = 0;

	for (size_t i = 0; i < WORDS; i += every) {
		wrong |= word[i] ^ (seed == 0 ? 0 : seed + i * step);
	}
	return wrong == 0;
}

bool page_is_plain(unsigned page)
{
	const uint64_t *word = memory_of(page);

	return word[1] - word[0] == STEP_GUEST || word[5] - word[4] == STEP_GUEST ||
	       word[WORDS - 1] - word[WORDS - 2] == STEP_GUEST;
}

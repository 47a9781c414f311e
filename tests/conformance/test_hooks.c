/* SPDX-License-Identifier: BSD-2-Clause */
/* What the back end is told of memory that becomes visible: cleaned before, once a folio; mapped after. */
#include "bench.h"
#include "cases.h"
#include "picture.h"

#include "test_env.h"

#define PAGE S2_PAGE_SIZE
#define FOLIO_ORDER 6u
#define FOLIO (PAGE << FOLIO_ORDER)

static struct test_env env;
static struct s2_clean clean;

static void with_marks(struct s2_config *config)
{
	config->clean = &clean;
}

/* Marks for a thousand pages from page 100 on. */
static void marks_start(int choice)
{
	test_env_init(&env);
	ck_assert_int_eq(s2_clean_init(&clean, &env.env, s2_hpa(100 * PAGE), 1000 * PAGE), S2_OK);
	bench_start(choice, with_marks);
}

static void marks_finish(void)
{
	bench_finish();
	s2_clean_fini(&clean);
	ck_assert_uint_eq(env.live, 0);
}

#define ON_EVERY_MACHINE_WITH_MARKS(name) \
	static void name##_on(void);      \
	ON_EVERY_CHOICE(name)             \
	{                                 \
		marks_start(choice);      \
		name##_on();              \
		marks_finish();           \
	}                                 \
	static void name##_on(void)

static void map_folio(uint64_t gpa, uint64_t hpa, uint64_t len, unsigned order, unsigned prot)
{
	struct s2_run run = {s2_gpa(gpa), s2_hpa(hpa), len, (uint8_t)order};

	must_do(s2_map(&b.s, &run, 1, prot, S2_MEM_NORMAL, &b.g, NULL));
	settle();
	must_eq(b.s.events.cleaned, b.m.stats.clean_bytes + b.m.stats.code_bytes);
}

/* So many calls, and bytes, have been made since the last time. */
static void expect_cleaned(uint64_t bytes, uint64_t code_bytes)
{
	must_eq(b.m.stats.clean_bytes, bytes);
	must_eq(b.m.stats.code_bytes, code_bytes);
	must_eq(b.m.stats.clean_calls, bytes != 0);
	must_eq(b.m.stats.code_calls, code_bytes != 0);
	b.s.events.cleaned = 0;
	b.m.stats.clean_calls = 0;
	b.m.stats.clean_bytes = 0;
	b.m.stats.code_calls = 0;
	b.m.stats.code_bytes = 0;
}

/* Where nothing is remembered, each run pays for itself. */
ON_EVERY_MACHINE(without_marks)
{
	map_folio(b.home, 64 * FOLIO, 3 * PAGE, FOLIO_ORDER, S2_RWX);
	expect_cleaned(3 * PAGE, 3 * PAGE);
	map_folio(b.home + 8 * PAGE, 64 * FOLIO, PAGE, FOLIO_ORDER, S2_RWX);
	expect_cleaned(PAGE, PAGE);
}

ON_EVERY_MACHINE_WITH_MARKS(once_a_folio)
{
	map_folio(b.home, 4 * FOLIO, PAGE, FOLIO_ORDER, S2_RWX);
	expect_cleaned(FOLIO, FOLIO);
	must(machine_is_clean(&b.m, s2_hpa(4 * FOLIO), FOLIO, false));
	must(machine_is_clean(&b.m, s2_hpa(4 * FOLIO), FOLIO, true));
	map_folio(b.home + PAGE, 4 * FOLIO + PAGE, 5 * PAGE, FOLIO_ORDER, S2_RWX);
	expect_cleaned(0, 0);
	unmap(b.home, PAGE);
	map_folio(b.home, 4 * FOLIO, PAGE, FOLIO_ORDER, S2_RWX);
	expect_cleaned(0, 0);
	/* Its neighbour is another one. */
	map_folio(b.home + FOLIO, 5 * FOLIO, PAGE, FOLIO_ORDER, S2_RWX);
	expect_cleaned(FOLIO, FOLIO);
}

ON_EVERY_MACHINE_WITH_MARKS(the_host_writes)
{
	map_folio(b.home, 4 * FOLIO, PAGE, FOLIO_ORDER, S2_RWX);
	expect_cleaned(FOLIO, FOLIO);
	unmap(b.home, PAGE);
	machine_host_wrote(&b.m, s2_hpa(4 * FOLIO + 7 * PAGE), PAGE);
	s2_clean_forget(&clean, s2_hpa(4 * FOLIO + 7 * PAGE), PAGE);
	/* A page of a folio that was split since then, and is clean. */
	map_folio(b.home, 4 * FOLIO, PAGE, 0, S2_RWX);
	expect_cleaned(0, 0);
	map_folio(b.home + 7 * PAGE, 4 * FOLIO + 7 * PAGE, PAGE, 0, S2_RWX);
	expect_cleaned(PAGE, PAGE);
	/* And of what was merged again: all of it is. */
	map_folio(b.home + PAGE, 4 * FOLIO + PAGE, PAGE, FOLIO_ORDER, S2_RWX);
	expect_cleaned(0, 0);
}

ON_EVERY_MACHINE_WITH_MARKS(folios_merge)
{
	map_folio(b.home, 4 * FOLIO, PAGE, FOLIO_ORDER, S2_RWX);
	expect_cleaned(FOLIO, FOLIO);
	map_folio(b.home + FOLIO, 4 * FOLIO + FOLIO, PAGE, FOLIO_ORDER, S2_RWX);
	expect_cleaned(FOLIO, FOLIO);
	map_folio(b.home + PAGE, 4 * FOLIO + PAGE, PAGE, FOLIO_ORDER + 1, S2_RWX);
	expect_cleaned(0, 0);
	map_folio(b.home + 3 * FOLIO, 4 * FOLIO + 3 * FOLIO, PAGE, FOLIO_ORDER + 2, S2_RWX);
	expect_cleaned(4 * FOLIO, 4 * FOLIO);
}

/* Code is looked after only where it can be executed. */
ON_EVERY_MACHINE_WITH_MARKS(code_and_data)
{
	if (!machine_can_say(b.v, S2_RW, S2_MEM_NORMAL)) {
		return;
	}
	map_folio(b.home, 4 * FOLIO, PAGE, FOLIO_ORDER, S2_RW);
	expect_cleaned(FOLIO, 0);
	map_folio(b.home + PAGE, 4 * FOLIO + PAGE, PAGE, FOLIO_ORDER, S2_RX);
	expect_cleaned(0, FOLIO);
	map_folio(b.home + 2 * PAGE, 4 * FOLIO + 2 * PAGE, PAGE, FOLIO_ORDER, S2_RX);
	expect_cleaned(0, 0);
}

/* A folio that the marks do not cover as a whole is cleaned each time. */
ON_EVERY_MACHINE_WITH_MARKS(outside_of_the_marks)
{
	for (unsigned i = 0; i < 2; i++) {
		map_folio(b.home + i * PAGE, FOLIO + 40 * PAGE, PAGE, FOLIO_ORDER, S2_RWX);
		expect_cleaned(FOLIO, FOLIO);
		map_folio(b.home + (8 + i) * PAGE, 2000 * PAGE, PAGE, 0, S2_RWX);
		expect_cleaned(PAGE, PAGE);
	}
}

/* A call that fails has cleaned nothing, and remembers nothing. */
ON_EVERY_MACHINE_WITH_MARKS(errors_clean_nothing)
{
	struct s2_run runs[2] = {
		{s2_gpa(b.home), s2_hpa(4 * FOLIO), PAGE, FOLIO_ORDER},
		{s2_gpa(b.home + PAGE), s2_hpa(5 * FOLIO), PAGE, FOLIO_ORDER},
	};

	map_folio(b.home + PAGE, 8 * FOLIO, PAGE, FOLIO_ORDER, S2_RWX);
	must_refuse(s2_map(&b.s, runs, 2, S2_RWX, S2_MEM_NORMAL, &b.g, NULL), S2_ERR_EXISTS);
	must(!s2_clean_test(&clean, S2_CLEAN_DATA, s2_hpa(4 * FOLIO), PAGE));
	runs[0].gpa.val = 0;
	pool_fail(&b.m.pool, 1);
	must_refuse(s2_map(&b.s, runs, 1, S2_RWX, S2_MEM_NORMAL, &b.g, NULL), S2_ERR_NOMEM);
	pool_fail(&b.m.pool, 0);
	must(!s2_clean_test(&clean, S2_CLEAN_DATA, s2_hpa(4 * FOLIO), PAGE));
}

/* Runs in the order of the array; each after it is visible, all of it. */
static unsigned told;
static struct s2_run runs_told[4];

static void on_mapped(void *cookie, struct machine *m, const struct s2_run *run, unsigned prot)
{
	must(cookie == &told);
	must(m == &b.m);
	must(told < 4);
	must_eq(prot, S2_RX);
	expect_at(run->gpa.val, run->hpa.val);
	expect_at(run->gpa.val + run->len - 1, run->hpa.val + run->len - 1);
	runs_told[told++] = *run;
}

static void on_clean(void *cookie, struct machine *m, uint64_t hpa, uint64_t len, bool code)
{
	(void)cookie;
	(void)m;
	(void)hpa;
	(void)len;
	(void)code;
	expect_hole(b.home + told * 4 * PAGE);
}

ON_EVERY_MACHINE(mapped_is_called_once_a_run)
{
	struct s2_run runs[] = {
		{s2_gpa(b.home), s2_hpa(0), 2 * PAGE, 1},
		{s2_gpa(b.home + 4 * PAGE), s2_hpa(8 * PAGE), 3 * PAGE, 2},
		{s2_gpa(b.home + 8 * PAGE), s2_hpa(2 * PAGE), PAGE, 0},
	};

	b.m.hook_cookie = &told;
	b.m.on_mapped = on_mapped;
	b.m.on_clean = on_clean;
	told = 0;
	must_do(s2_map(&b.s, runs, 3, S2_RX, S2_MEM_NORMAL, &b.g, NULL));
	must_eq(told, 3);
	for (unsigned i = 0; i < 3; i++) {
		must_eq(runs_told[i].gpa.val, runs[i].gpa.val);
		must_eq(runs_told[i].len, runs[i].len);
		must_eq(runs_told[i].folio_order, runs[i].folio_order);
	}
	b.m.on_clean = NULL;
	b.m.on_mapped = NULL;
	settle();
}

TCase *case_hooks(void)
{
	TCase *tcase = tcase_create("hooks");

	ADD(tcase, without_marks);
	ADD(tcase, once_a_folio);
	ADD(tcase, the_host_writes);
	ADD(tcase, folios_merge);
	ADD(tcase, code_and_data);
	ADD(tcase, outside_of_the_marks);
	ADD(tcase, errors_clean_nothing);
	ADD(tcase, mapped_is_called_once_a_run);
	return tcase;
}

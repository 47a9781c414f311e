/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs the tests for each kind of space that the machine has, and says how they went. */
#include "metal.h"

static const struct test *const groups[] = {leaf_tests,	  rights_tests, stale_tests,
					    cpu_tests,	  mark_tests,	share_tests,
					    demand_tests, bad_tests,	machine_tests};

#define GROUP_COUNT (sizeof(groups) / sizeof(*groups))

static bool failed;
static const char *skipped;

void test_fail(const char *file, int line, const char *what)
{
	if (!failed && args.mutant == 0) {
		print("# %s:%u: %s\n", file, (unsigned)line, what);
	}
	failed = true;
}

void test_skip(const char *why)
{
	skipped = why;
}

bool test_has_failed(void)
{
	return failed;
}

void fatal(const char *file, int line, const char *what)
{
	print("# cannot go on: %s:%u: %s\n", file, (unsigned)line, what);
	machine_exit(3);
}

/* "space/test", in memory that the next call uses again. */
static const char *full_name(const struct machine_space *kind, const struct test *test)
{
	static char name[64];
	size_t at = 0;

	for (const char *c = kind->name; *c != '\0' && at < sizeof(name) - 2; c++) {
		name[at++] = *c;
	}
	name[at++] = '/';
	for (const char *c = test->name; *c != '\0' && at < sizeof(name) - 1; c++) {
		name[at++] = *c;
	}
	name[at] = '\0';
	return name;
}

/*
 * Calls visit for each test that was asked for, until it returns false. NULL: args_check() is to know
 * all names.
 */
static void each_test(bool (*visit)(const char *name, const struct machine_space *kind,
				    const struct test *test))
{
	for (size_t i = 0; i < machine.space_count; i++) {
		for (size_t j = 0; j < GROUP_COUNT; j++) {
			for (const struct test *test = groups[j]; test->name != NULL; test++) {
				const struct machine_space *kind = &machine.space[i];
				const char *name = full_name(kind, test);

				if (args_select(kind->name, test->name, test->on_request) &&
				    visit != NULL && !visit(name, kind, test)) {
					return;
				}
			}
		}
	}
}

static void run_one(const struct machine_space *kind, const struct test *test)
{
	uint64_t used = memory_used();

	failed = false;
	skipped = NULL;
	machine_forget();
	test->run(kind);
	CHECK(memory_used() == used);
}

static unsigned test_count, failed_count;

static bool visit_run(const char *name, const struct machine_space *kind, const struct test *test)
{
	run_one(kind, test);
	test_count++;
	failed_count += failed;
	print("%sok %u - %s%s%s\n", failed ? "not " : "", test_count, name,
	      skipped && !failed ? " # SKIP " : "", skipped && !failed ? skipped : "");
	return true;
}

static bool visit_list(const char *name, const struct machine_space *kind, const struct test *test)
{
	(void)kind;
	(void)test;
	print("%s\n", name);
	return true;
}

static bool visit_mutant(const char *name, const struct machine_space *kind,
			 const struct test *test)
{
	run_one(kind, test);
	if (failed) {
		print("mutant %s killed by %s\n", mutant_names[args.mutant], name);
	}
	return !failed;
}

/* A guest that does not notice what it should would poll for as long as it may. */
#define MUTANT_DEADLINE UINT64_C(500000)

static void run_mutants(void)
{
	args.deadline = MUTANT_DEADLINE;
	for (unsigned i = 1; mutant_names[i] != NULL; i++) {
		failed = false;
		if (!mutant_applies(i)) {
			print("mutant %s does not apply\n", mutant_names[i]);
			continue;
		}
		args.mutant = i;
		each_test(visit_mutant);
		if (!failed) {
			print("mutant %s survives\n", mutant_names[i]);
		}
	}
}

void metal_main(void)
{
	machine_init();
	args_read(machine_arguments());
	memory_init((uint64_t)(uintptr_t)memory_start, machine.ram + machine.ram_size);
	each_test(NULL);
	args_check();
	if (args.list) {
		each_test(visit_list);
		machine_exit(0);
	}
	print("# %s, %u MiB, spaces:", machine.name, (unsigned)(machine.ram_size >> 20));
	for (size_t i = 0; i < machine.space_count; i++) {
		print(" %s", machine.space[i].name);
	}
	print("\n");
	if (args.counts) {
		counts_run();
		machine_exit(0);
	}
	if (args.mutants) {
		run_mutants();
		machine_exit(0);
	}
	each_test(visit_run);
	print("1..%u\n", test_count);
	machine_exit(failed_count == 0 ? 0 : 1);
}

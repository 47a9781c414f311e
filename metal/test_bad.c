/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests that misbehave. The first test sees that each is noticed; the others, which run only where they
 * are named, show what a hypervisor then says: a line that tells what the guest did, and exit code 5.
 */
#include "metal.h"

#define WILD_GPA (TEST_GPA + 0x123450)

static void misbehave(const struct machine_space *kind)
{
	void *host = pattern_alloc(PAGE, 1);
	uint64_t deadline = args.deadline;
	struct guest_exit e;
	struct world w;

	world_open(&w, kind, 0);
	world_map(&w, TEST_GPA, host, PAGE, S2_RX);
	world_sync(&w);
	CHECK(guest_faults(&w, guest_read, WILD_GPA, S2_READ, false));
	args.deadline = 20000;
	guest_run(&w, guest_spin, 0, 0, 0, &e);
	args.deadline = deadline;
	CHECK(e.kind == EXIT_DEADLINE);
	guest_run(&w, guest_hypercall, 0x9999, 1, 2, &e);
	CHECK(e.kind == EXIT_CALL && e.call[0] == CALL_DONE && e.call[1] == (uint64_t)CALL_UNKNOWN);
	CHECK(pattern_reads(&w, TEST_GPA, 1, 0, 1));
	world_close(&w);
	memory_free(host, PAGE);
}

/* The hypervisor gives up on this guest. */
static _Noreturn void give_up(const struct guest_exit *e)
{
	exit_print(e);
	print("# the guest was stopped\n");
	machine_exit(5);
}

static void run_to_ruin(const struct machine_space *kind, const char *function, uint64_t a,
			uint64_t b)
{
	uint64_t hpa = (uint64_t)(uintptr_t)pattern_alloc(PAGE, 1);
	struct guest_exit e;
	struct world w;

	world_open(&w, kind, 0);
	/* Not to be executed; where the format cannot say that, not there. */
	if (s2_map_page(&w.space, s2_gpa(TEST_GPA), s2_hpa(hpa), S2_READ, S2_MEM_NORMAL,
			&w.gather) == S2_OK) {
		world_sync(&w);
	}
	guest_run(&w, function, a, b, 0, &e);
	give_up(&e);
}

static void wild_read(const struct machine_space *kind)
{
	run_to_ruin(kind, guest_read, WILD_GPA, 0);
}

static void wild_exec(const struct machine_space *kind)
{
	run_to_ruin(kind, guest_call, TEST_GPA, 0);
}

static uint64_t refuse(struct world *w, uint64_t number, uint64_t a, uint64_t b)
{
	const struct guest_exit e = {.kind = EXIT_CALL, .call = {number, a, b}};

	(void)w;
	print("# unknown hypercall\n");
	give_up(&e);
}

static void bad_call(const struct machine_space *kind)
{
	struct guest_exit e;
	struct world w;

	world_open(&w, kind, 0);
	w.call = refuse;
	guest_run(&w, guest_hypercall, 0x9999, UINT64_MAX, 7, &e);
	give_up(&e);
}

static void endless(const struct machine_space *kind)
{
	run_to_ruin(kind, guest_spin, 0, 0);
}

const struct test bad_tests[] = {
	{"misbehave", misbehave, false}, {"wild-read", wild_read, true},
	{"wild-exec", wild_exec, true},	 {"bad-call", bad_call, true},
	{"endless", endless, true},	 {NULL, NULL, false},
};

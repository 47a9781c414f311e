/* SPDX-License-Identifier: BSD-2-Clause */
/* Processor 1: waits for work, runs its guest, hands over the exit. */
#include "metal.h"

static enum work {
	WORK_NONE = 0,
	WORK_LOAD,
	WORK_RUN,
} work;

static struct world *world;
static uint64_t start_pc, start_a, start_b;
static struct guest_exit last;

static enum work work_get(void)
{
	return __atomic_load_n(&work, __ATOMIC_ACQUIRE);
}

static void work_set(enum work next)
{
	__atomic_store_n(&work, next, __ATOMIC_RELEASE);
}

static void work_wait(void)
{
	while (work_get() != WORK_NONE) {
		machine_relax();
	}
}

/* An entry that is being replaced is not there for a moment: what is mapped by now is tried again. */
static bool is_passing(const struct guest_exit *e)
{
	struct s2_leaf leaf;

	return e->kind == EXIT_KICK ||
	       (e->kind == EXIT_FAULT && s2_query(&world->space, s2_gpa(e->gpa), &leaf) == S2_OK &&
		leaf.mapped && (leaf.prot & e->access) == e->access);
}

static void run(void)
{
	uint64_t tries = 0;

	machine_start(start_pc, start_a, start_b, 0);
	do {
		machine_relax(); /* where both share a thread of the emulator, the other gets on */
		machine_run(&last, args.deadline);
	} while (is_passing(&last) && tries++ < 1000000);
}

static void serve(void)
{
	for (;;) {
		enum work next = work_get();

		if (next == WORK_LOAD) {
			machine_load(world != NULL ? &world->space : NULL,
				     world != NULL ? world->id : 0);
			machine_forget();
		} else if (next == WORK_RUN) {
			run();
		}
		if (next != WORK_NONE) {
			work_set(WORK_NONE);
		}
		machine_relax();
	}
}

bool other_start(void)
{
	static bool started;

	if (!started) {
		started = machine_cpu_start(serve);
	}
	return started;
}

void other_load(struct world *w)
{
	work_wait();
	world = w;
	work_set(WORK_LOAD);
	work_wait();
}

void other_run(const char *function, uint64_t a, uint64_t b)
{
	work_wait();
	start_pc = GUEST_CODE_GPA + (uint64_t)(function - guest_code);
	start_a = a;
	start_b = b;
	work_set(WORK_RUN);
}

void other_wait(struct guest_exit *e)
{
	work_wait();
	*e = last;
}

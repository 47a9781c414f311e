/* SPDX-License-Identifier: BSD-2-Clause */
/* Running the guest, and what its exits mean. */
#include "metal.h"

static const char *access_name(unsigned access)
{
	switch (access) {
	case S2_READ:
		return "read";
	case S2_WRITE:
		return "write";
	case S2_EXEC:
		return "fetch";
	default:
		return "access";
	}
}

void exit_print(const struct guest_exit *e)
{
	switch (e->kind) {
	case EXIT_CALL:
		print("# guest: hypercall %#llx (%#llx, %#llx)", (unsigned long long)e->call[0],
		      (unsigned long long)e->call[1], (unsigned long long)e->call[2]);
		break;
	case EXIT_FAULT:
		print("# guest: %s fault for a %s at gpa %#llx, level %u",
		      machine.fault_permission && e->permission ? "permission" : "translation",
		      access_name(e->access), (unsigned long long)e->gpa, e->level);
		break;
	case EXIT_DEADLINE:
		print("# guest: does not stop");
		break;
	case EXIT_KICK:
		print("# guest: kicked");
		break;
	case EXIT_OTHER:
	default:
		print("# guest: cannot go on");
		break;
	}
	print("; pc %#llx, machine says %#llx %#llx %#llx\n", (unsigned long long)e->pc,
	      (unsigned long long)e->raw[0], (unsigned long long)e->raw[1],
	      (unsigned long long)e->raw[2]);
}

/* Is all that is missing a mark that software keeps? Then it is set, and the access can be repeated. */
static bool mark(struct world *w, const struct guest_exit *e)
{
	bool write = e->access == S2_WRITE;
	struct s2_leaf leaf;

	if (s2_query(&w->space, s2_gpa(e->gpa), &leaf) != S2_OK || !leaf.mapped ||
	    (leaf.prot & e->access) != e->access) {
		return false;
	}
	if (leaf.accessed && !(write && !leaf.dirty)) {
		return false;
	}
	MUST(s2_touch(&w->space, s2_gpa(e->gpa), write, &w->gather) == S2_OK);
	world_sync(w);
	return true;
}

static uint64_t carry_out(struct world *w, const struct guest_exit *e)
{
	return w->call != NULL ? w->call(w, e->call[0], e->call[1], e->call[2])
			       : (uint64_t)CALL_UNKNOWN;
}

void guest_resume(struct world *w, struct guest_exit *e)
{
	for (;;) {
		machine_run(e, args.deadline);
		if (e->kind == EXIT_CALL && e->call[0] != CALL_DONE) {
			machine_answer(carry_out(w, e));
		} else if (e->kind != EXIT_KICK && !(e->kind == EXIT_FAULT && mark(w, e))) {
			return;
		}
	}
}

void guest_run(struct world *w, const char *function, uint64_t a, uint64_t b, uint64_t c,
	       struct guest_exit *e)
{
	machine_start(GUEST_CODE_GPA + (uint64_t)(function - guest_code), a, b, c);
	guest_resume(w, e);
}

/* Only where it is of use: mutants fail all the time. */
static bool report(const struct guest_exit *e)
{
	if (args.mutant == 0) {
		exit_print(e);
	}
	return false;
}

bool guest_returns(struct world *w, const char *function, uint64_t a, uint64_t b, uint64_t value)
{
	struct guest_exit e;

	guest_run(w, function, a, b, 0, &e);
	if (e.kind == EXIT_CALL && e.call[1] == value) {
		return true;
	}
	return report(&e);
}

bool guest_faults(struct world *w, const char *function, uint64_t gpa, unsigned access,
		  bool permission)
{
	uint64_t mask = machine.fault_exact ? UINT64_MAX : ~(PAGE - 1);
	struct s2_leaf leaf;
	struct guest_exit e;

	guest_run(w, function, gpa, 0, 0, &e);
	if (e.kind != EXIT_FAULT || ((e.gpa ^ gpa) & mask) != 0 ||
	    (e.access != 0 && e.access != access) ||
	    (machine.fault_permission && e.permission != permission)) {
		return report(&e);
	}
	/* The walk ends at the item that the library sees there. */
	if (e.level != S2_LEVEL_ANY &&
	    (s2_query(&w->space, s2_gpa(gpa), &leaf) != S2_OK || leaf.level != e.level)) {
		return report(&e);
	}
	return true;
}

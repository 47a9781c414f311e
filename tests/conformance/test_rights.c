/* SPDX-License-Identifier: BSD-2-Clause */
/* Rights and kinds of memory: refused, or exactly what was asked for, whatever the leaf. */
#include "bench.h"
#include "cases.h"
#include "picture.h"

static const struct {
	enum machine_access access;
	unsigned right;
} accesses[] = {
	{MACHINE_READ, S2_READ},
	{MACHINE_WRITE, S2_WRITE},
	{MACHINE_EXEC, S2_EXEC},
	{MACHINE_EXEC_USER, S2_EXEC_USER},
};

#define ACCESS_COUNT (sizeof(accesses) / sizeof(accesses[0]))

/* A guest may do what it has the right to, and nothing else. */
static void expect_rights(uint64_t gpa, unsigned prot)
{
	for (size_t i = 0; i < ACCESS_COUNT; i++) {
		bool right = (prot & accesses[i].right) != 0;
		struct machine_result r;

		must_eq(machine_access(&b.m, gpa, accesses[i].access, &r), right);
		must_eq(r.fault, right ? MACHINE_OK : MACHINE_DENIED);
	}
	check_machine();
}

static void one_kind(uint64_t gpa, uint64_t size, unsigned prot, enum s2_mem mem)
{
	enum s2_err err = machine_can_say(b.v, prot, mem) ? S2_OK : S2_ERR_FORMAT;
	struct machine_walk w;

	if (err != S2_OK) {
		must_refuse(try_map(gpa, hpa_at(size, 1), size, prot, mem), err);
		return;
	}
	must_do(try_map(gpa, hpa_at(size, 1), size, prot, mem));
	settle();
	machine_walk(&b.m, gpa, &w);
	must_eq(w.fault, MACHINE_OK);
	must_eq(w.leaf.prot, prot);
	must_eq(w.leaf.mem, mem);
	must_eq(UINT64_C(1) << w.leaf.lg2, size);
	expect_rights(gpa, prot);
	expect_rights(gpa + size - 1, prot);
	unmap(gpa, size);
}

ON_EVERY_MACHINE(every_right_and_kind)
{
	for (unsigned k = 0; k < b.large; k++) {
		for (unsigned prot = 1; prot <= S2_PROT_ALL; prot++) {
			for (unsigned mem = 0; mem < S2_MEM_COUNT; mem++) {
				one_kind(b.home, size_at(k), prot, (enum s2_mem)mem);
			}
		}
	}
}

/* Neighbours do not share rights or kinds. */
ON_EVERY_MACHINE(rights_do_not_spread)
{
	uint64_t gpa = b.home;
	unsigned n = 0;

	for (unsigned prot = 1; prot <= S2_PROT_ALL; prot++) {
		if (machine_can_say(b.v, prot, S2_MEM_NORMAL)) {
			must_do(try_map(gpa + n * S2_PAGE_SIZE, hpa_at(S2_PAGE_SIZE, n),
					S2_PAGE_SIZE, prot, S2_MEM_NORMAL));
			n++;
		}
	}
	settle();
	for (unsigned prot = 1; prot <= S2_PROT_ALL; prot++) {
		if (machine_can_say(b.v, prot, S2_MEM_NORMAL)) {
			expect_rights(gpa, prot);
			gpa += S2_PAGE_SIZE;
		}
	}
	expect_hole(gpa);
}

/* From each set of rights to each other, for leaves of each size; the kind stays. */
static void change(unsigned k, unsigned from, unsigned to, enum s2_mem mem)
{
	uint64_t size = size_at(k);
	struct machine_walk w;

	must_do(try_map(b.home, hpa_at(size, 1), size, from, mem));
	settle();
	load(b.home, size);
	must_do(s2_protect(&b.s, range_at(b.home, size), to, &b.g, NULL));
	settle();
	machine_walk(&b.m, b.home, &w);
	must_eq(w.fault, MACHINE_OK);
	must_eq(w.leaf.prot, to);
	must_eq(w.leaf.mem, mem);
	must_eq(UINT64_C(1) << w.leaf.lg2, size);
	expect_rights(b.home, to);
	load(b.home, size);
	unmap(b.home, size);
}

ON_EVERY_MACHINE(protect_from_all_to_all)
{
	b.m.need_code = false; /* caches are looked after by s2_map() alone */
	for (unsigned from = 1; from <= S2_PROT_ALL; from++) {
		for (unsigned to = 1; to <= S2_PROT_ALL; to++) {
			if (!machine_can_say(b.v, from, S2_MEM_NORMAL) ||
			    !machine_can_say(b.v, to, S2_MEM_NORMAL)) {
				continue;
			}
			change((from + to) % b.large, from, to, S2_MEM_NORMAL);
		}
	}
}

ON_EVERY_MACHINE(protect_keeps_the_kind)
{
	for (unsigned mem = 0; mem < S2_MEM_COUNT; mem++) {
		if (machine_can_say(b.v, S2_RWX, (enum s2_mem)mem)) {
			change(mem % b.large, S2_RWX, S2_RX, (enum s2_mem)mem);
			change((mem + 1) % b.large, S2_RX, S2_RWX, (enum s2_mem)mem);
		}
	}
}

/* A right that is widened is there at once: no fault that a walk would not raise. */
ON_EVERY_MACHINE(widening_is_flushed)
{
	struct machine_result r;

	must_do(try_map(b.home, hpa_at(S2_PAGE_SIZE, 1), S2_PAGE_SIZE, S2_RX, S2_MEM_NORMAL));
	settle();
	must(!machine_access(&b.m, b.home, MACHINE_WRITE, &r));
	must_do(s2_protect(&b.s, range_at(b.home, S2_PAGE_SIZE), S2_RWX, &b.g, NULL));
	settle();
	must(machine_access(&b.m, b.home, MACHINE_WRITE, &r));
	must_eq(b.m.stats.spurious, 0);
}

TCase *case_rights(void)
{
	TCase *tcase = tcase_create("rights");

	ADD(tcase, every_right_and_kind);
	ADD(tcase, rights_do_not_spread);
	ADD(tcase, protect_from_all_to_all);
	ADD(tcase, protect_keeps_the_kind);
	ADD(tcase, widening_is_flushed);
	return tcase;
}

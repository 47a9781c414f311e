/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests fault exactly when they should, and the fault says what it was. */
#include "metal.h"

#define VALUE 0x5a5

/* One page with a function at its start. */
static void check_rights(struct world *w, uint64_t gpa, unsigned prot)
{
	CHECK((prot & S2_READ) != 0 ? pattern_reads(w, gpa, prot, 0, 1)
				    : guest_faults(w, guest_read, gpa + PATTERN_AT, S2_READ, true));
	CHECK((prot & S2_WRITE) != 0 ? guest_returns(w, guest_write, gpa + 0x800, 1, 0)
				     : guest_faults(w, guest_write, gpa + 0x800, S2_WRITE, true));
	CHECK((prot & S2_EXEC) != 0 ? guest_returns(w, guest_call, gpa, 0, VALUE)
				    : guest_faults(w, guest_call, gpa, S2_EXEC, true));
}

static void rights(const struct machine_space *kind)
{
	struct world w;

	for (unsigned prot = 1; prot <= S2_PROT_ALL; prot++) {
		void *host = pattern_alloc(PAGE, prot);
		enum s2_err err;

		world_open(&w, kind, 0);
		machine_code(host, VALUE);
		err = s2_map_page(&w.space, s2_gpa(TEST_GPA), s2_hpa((uint64_t)(uintptr_t)host),
				  prot, S2_MEM_NORMAL, &w.gather);
		CHECK(err == S2_OK || err == S2_ERR_FORMAT);
		if (err == S2_OK) {
			world_sync(&w);
			check_rights(&w, TEST_GPA, prot);
		}
		world_close(&w);
		memory_free(host, PAGE);
	}
}

/* The same, changed while the guest has the entry in its TLB, on pages and on larger leaves. */
static void rights_change(const struct machine_space *kind)
{
	const uint64_t size = UINT64_C(0x400000);
	char *host = pattern_alloc(size, S2_RWX);
	struct world w;

	machine_code(host, VALUE);
	world_open(&w, kind, 0);
	world_map(&w, TEST_GPA, host, size, S2_RWX);
	world_sync(&w);
	check_rights(&w, TEST_GPA, S2_RWX);
	for (unsigned prot = 1; prot <= S2_PROT_ALL; prot++) {
		enum s2_err err = s2_protect(&w.space, s2_range(s2_gpa(TEST_GPA), size), prot,
					     &w.gather, NULL);

		CHECK(err == S2_OK || err == S2_ERR_FORMAT);
		if (err == S2_OK) {
			world_sync(&w);
			*(uint64_t *)(void *)(host + PATTERN_AT) = pattern(prot, 0);
			check_rights(&w, TEST_GPA, prot);
		}
	}
	world_close(&w);
	memory_free(host, (size_t)size);
}

/* Nothing is mapped: at the end of a table, in an empty one, and where there is none. */
static void holes(const struct machine_space *kind)
{
	static const uint64_t at[] = {0x1000, 0x1ff8, 0x10000, 0x200000, 0x7654320, 0x3fffff8};
	void *host = pattern_alloc(PAGE, 1);
	struct world w;

	world_open(&w, kind, 0);
	world_map(&w, TEST_GPA, host, PAGE, S2_RWX);
	world_sync(&w);
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		uint64_t gpa = TEST_GPA + at[i];

		CHECK(guest_faults(&w, guest_read, gpa, S2_READ, false));
		CHECK(guest_faults(&w, guest_write, gpa, S2_WRITE, false));
		CHECK(guest_faults(&w, guest_call, gpa & ~UINT64_C(15), S2_EXEC, false));
	}
	CHECK(pattern_reads(&w, TEST_GPA, 1, 0, 1));
	world_close(&w);
	memory_free(host, PAGE);
}

const struct test rights_tests[] = {
	{"rights", rights, false},
	{"rights-change", rights_change, false},
	{"holes", holes, false},
	{NULL, NULL, false},
};

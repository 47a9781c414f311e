/* SPDX-License-Identifier: BSD-2-Clause */
/* Spaces for tests. */
#include "metal.h"

/* Mapped to the host's own copy: the guest's code is read-only for it. */
static void map_code(struct world *w)
{
	uint64_t len = (uint64_t)(guest_code_end - guest_code + (ptrdiff_t)PAGE - 1) & ~(PAGE - 1);

	for (uint64_t at = 0; at < len; at += PAGE) {
		world_map(w, GUEST_CODE_GPA + at, guest_code + at, PAGE, S2_RX);
	}
}

void world_open(struct world *w, const struct machine_space *kind, uint64_t leaf_sizes)
{
	static unsigned next_id;
	struct s2_config config = {
		.fmt = kind->fmt,
		.features = kind->features,
		.gpa_bits = kind->gpa_bits,
		.hpa_bits = kind->hpa_bits,
		.leaf_sizes = leaf_sizes,
		.tables = {.alloc = memory_env.alloc, .free = memory_env.free},
		.mmu = &w->mmu,
		.mmu_cookie = w,
	};

	memset(w, 0, sizeof(*w));
	w->kind = kind;
	w->mmu = mmu_of_machine();
	w->id = 1 + next_id++ % 4;
	MUST(s2_space_init(&w->space, &config) == S2_OK);
	s2_gather_init(&w->gather, &w->space);
	MUST(machine_guest_open(&w->space, &w->gather) == S2_OK);
	map_code(w);
	world_sync(w);
	machine_load(&w->space, w->id);
}

void world_close(struct world *w)
{
	machine_load(NULL, 0);
	s2_gather_fini(&w->gather);
	CHECK(s2_check(&w->space, NULL));
	s2_space_fini(&w->space);
}

void world_map(struct world *w, uint64_t gpa, const void *host, uint64_t len, unsigned prot)
{
	/* All memory is one folio, as far as the tests go: alignment alone decides. */
	const struct s2_run run = {s2_gpa(gpa), s2_hpa((uint64_t)(uintptr_t)host), len,
				   S2_FOLIO_ORDER_MAX};

	MUST(s2_map(&w->space, &run, 1, prot, S2_MEM_NORMAL, &w->gather, NULL) == S2_OK);
}

void world_unmap(struct world *w, uint64_t gpa, uint64_t len)
{
	MUST(s2_unmap(&w->space, s2_range(s2_gpa(gpa), len), &w->gather, NULL) == S2_OK);
}

void world_protect(struct world *w, uint64_t gpa, uint64_t len, unsigned prot)
{
	MUST(s2_protect(&w->space, s2_range(s2_gpa(gpa), len), prot, &w->gather, NULL) == S2_OK);
}

void world_sync(struct world *w)
{
	s2_gather_sync(&w->gather);
}

uint64_t kind_leaf_sizes(const struct machine_space *kind)
{
	struct world w;
	uint64_t sizes;

	world_open(&w, kind, 0);
	sizes = s2_space_leaf_sizes(&w.space);
	world_close(&w);
	return sizes;
}

uint8_t largest_leaf(const struct world *w, uint64_t size)
{
	uint64_t sizes = s2_space_leaf_sizes(&w->space) & (2 * size - 1);

	return (uint8_t)(63 - __builtin_clzll(sizes));
}

uint64_t pattern(uint64_t seed, uint64_t page)
{
	return seed << 48 | (page + 1) * UINT64_C(0x10001);
}

void *pattern_alloc(uint64_t size, uint64_t seed)
{
	char *block = memory_alloc((size_t)size);

	for (uint64_t page = 0; page < size / PAGE; page++) {
		*(uint64_t *)(void *)(block + page * PAGE + PATTERN_AT) = pattern(seed, page);
	}
	return block;
}

bool pattern_reads(struct world *w, uint64_t gpa, uint64_t seed, uint64_t first, uint64_t count)
{
	for (uint64_t page = first; page < first + count; page++) {
		if (!guest_returns(w, guest_read, gpa + page * PAGE + PATTERN_AT, 0,
				   pattern(seed, page))) {
			return false;
		}
	}
	return true;
}

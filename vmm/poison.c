/* SPDX-License-Identifier: BSD-2-Clause */
#include "poison.h"

#include <errno.h>
#include <sys/mman.h>

struct s2_range poison_scope(const struct ram *ram, const struct guard_error *error)
{
	const unsigned int lg2 = error->lg2 > S2_PAGE_LG2 ? error->lg2 : S2_PAGE_LG2;
	const uint64_t mask = lg2 < 64 ? (UINT64_C(1) << lg2) - 1 : UINT64_MAX;
	const uint64_t hva_last = ram->hva.val + (ram->len - 1);
	uint64_t first = error->addr & ~mask, last = error->addr | mask;

	if (first > hva_last || last < ram->hva.val) {
		return s2_range(ram->gpa, 0);
	}
	first = first > ram->hva.val ? first : ram->hva.val;
	last = last < hva_last ? last : hva_last;
	return s2_range(s2_gpa(ram->gpa.val + (first - ram->hva.val)), last - first + 1);
}

/*
 * Broken pages that are still mapped, and would give us what they have: the kernel could not split their
 * folio, because somebody has pinned it, as pKVM pins all that it gives to a guest. Only root may ask.
 */
static void poison_marked(struct memory *memory, struct s2_range scope)
{
	const uint64_t last = scope.start.val + (scope.len - 1);
	s2_gpa_t gpa;

	while (scope.len && ram_next_broken(&memory->ram, scope, &gpa) == 1) {
		memory_poison(memory, gpa);
		scope = s2_range(s2_gpa(gpa.val + S2_PAGE_SIZE),
				 last - gpa.val - (S2_PAGE_SIZE - 1));
	}
}

uint64_t poison_take(struct memory *memory, const struct guard_error *error)
{
	const struct s2_range scope = poison_scope(&memory->ram, error);
	uint64_t pages = 0;

	memory_lock(memory);
	if (scope.len == S2_PAGE_SIZE) {
		pages = memory_poison(memory, scope.start);
	} else {
		poison_marked(memory, scope);
		for (uint64_t at = 0; at < scope.len; at += S2_PAGE_SIZE) {
			pages += memory_touch(memory, s2_gpa(scope.start.val + at)) == GUARD_POISON;
		}
	}
	memory_unlock(memory);
	return pages;
}

int poison_inject(struct memory *memory, s2_gpa_t gpa)
{
	void *page = ram_hva(&memory->ram, s2_gpa(gpa.val & ~(S2_PAGE_SIZE - 1)));

	if (!ram_contains(&memory->ram, gpa, 1)) {
		return -EINVAL;
	}
	/*
	 * A page of our own has to be there: what nobody has written to may be the kernel's page of
	 * zeros, which all processes have in common.
	 */
	if (madvise(page, S2_PAGE_SIZE, MADV_POPULATE_WRITE) ||
	    madvise(page, S2_PAGE_SIZE, MADV_HWPOISON)) {
		/* Broken before, or broken now and still mapped, because the page is pinned. */
		return errno == EHWPOISON ? 0 : -errno;
	}
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The tracker, the counts and the machine beside the oracle. */
#include "trial.h"

#include "guard.h"

/* The VM's own tracker has no pages in transition between two calls, and no widened ones of ours. */
static void look_at_vm(unsigned page)
{
	const struct flat_page *flat = &t.o.flat.page[page];
	const struct s2_page now = memory_page(&t.vm.memory, pages_range(page, 1).start);

	if (!flat->moving && t.track == &t.own) {
		check(LOOK_STATE, page, now.state == flat->state && !now.moving);
	}
}

void look_at_states(void)
{
	for (unsigned i = 0; i < ORACLE_PAGES; i++) {
		struct s2_page now = {.state = S2_NONE};

		need(s2_track_get(t.track, pages_range(i, 1).start, &now) == S2_OK);
		check(LOOK_STATE, i, flat_same(now, flat_answer(&t.o.flat.page[i])));
		look_at_vm(i);
	}
}

void look_at_counts(void)
{
	const struct s2_convert_count *want = &t.o.count;
	const struct s2_convert_count *now = &t.engine.count;

	check(LOOK_COUNT, NO_PAGE, now->requests == want->requests);
	check(LOOK_COUNT, NO_PAGE, now->requests_satisfied == want->requests_satisfied);
	check(LOOK_COUNT, NO_PAGE, now->calls == want->calls);
	check(LOOK_COUNT, NO_PAGE, now->requested == want->requested);
	check(LOOK_COUNT, NO_PAGE, now->satisfied == want->satisfied);
	check(LOOK_COUNT, NO_PAGE, now->converted == want->converted);
	check(LOOK_COUNT, NO_PAGE, now->widened == want->widened);
	check(LOOK_COUNT, NO_PAGE, now->refused == want->refused);
	check(LOOK_COUNT, NO_PAGE, now->kept == want->kept);
}

/* As a host does that does not care who may: no memory_probe(), which has pages sealed. */
static bool reads(s2_gpa_t gpa)
{
	uint64_t value;

	return guard_read(&value, ram_hva(&t.vm.memory.ram, gpa), sizeof(value)) == GUARD_OK;
}

void look_at_page(unsigned page)
{
	const unsigned word = below(S2_PAGE_SIZE / 8);
	const s2_gpa_t gpa = s2_gpa(pages_range(page, 1).start.val + 8 * word);
	uint64_t value;

	if (rests(page, S2_SECURE)) {
		check(LOOK_SECURE, page, !reads(gpa));
	} else if (rests(page, S2_SHARED)) {
		check(LOOK_PLAIN, page, memory_probe(&t.vm.memory, gpa, &value));
		check(LOOK_PLAIN, page, value == word_of(page, word));
	} else if (rests(page, S2_EXPORTED)) {
		check(LOOK_SEALED, page, memory_probe(&t.vm.memory, gpa, &value));
		check(LOOK_SEALED, page, value != word_of(page, word));
	}
}

void look_at_waiting(unsigned page)
{
	check(LOOK_SECURE, page, !reads(pages_range(page, 1).start));
}

void host_writes(unsigned page)
{
	const s2_gpa_t gpa = pages_range(page, 1).start;
	uint64_t words[S2_PAGE_SIZE / 8];
	uint64_t back[S2_PAGE_SIZE / 8];

	t.o.page[page].seed = ++t.seeds;
	for (unsigned i = 0; i < S2_PAGE_SIZE / 8; i++) {
		words[i] = word_of(page, i);
	}
	check(LOOK_PLAIN, page, memory_write(&t.vm.memory, gpa, words, sizeof(words)) == MEMORY_OK);
	check(LOOK_PLAIN, page, memory_read(&t.vm.memory, gpa, back, sizeof(back)) == MEMORY_OK);
	check(LOOK_PLAIN, page, memcmp(words, back, sizeof(words)) == 0);
}

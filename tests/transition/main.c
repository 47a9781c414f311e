/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One suite, on machines of the format that is named: mock, arm64, riscv, ept, npt, s390. STAGE2_MODEL_OPS
 * is how many requests the model makes, S2_SEED replays it, S2_VARIANTS=few is for slow processors.
 */
#include "cases.h"
#include "check_main.h"

static const char *format;

const char *world_format(void)
{
	return format;
}

bool only_few(void)
{
	const char *which = getenv("S2_VARIANTS");

	return which != NULL && strcmp(which, "few") == 0;
}

void in_each_world(bool few, void (*test)(void))
{
	few = few || only_few();
	for (unsigned n = 0; n < choice_count(format, few); n++) {
		struct choice choice = choice_at(format, few, n);

		world_start(&choice);
		watch_settled();
		test();
		watch_settled();
		world_finish();
	}
}

/* Aligned and not, in one folio and across several, and what is special about the layout. */
const struct spot spots[SPOT_COUNT] = {
	{21, 5}, {32, 16}, {526, 8}, {546, 4}, {561, 3}, {570, 7}, {586, 4},
};

const uint64_t grains[GRAIN_COUNT] = {K4, K16, K64, M2, S2_GRAIN_FOLIO};

void prepare(enum s2_move move, unsigned start, unsigned count)
{
	switch (move) {
	case S2_DONATE:
		act_move(S2_RECLAIM, start, count);
		break;
	case S2_UNSHARE:
		act_move(S2_SHARE, start, count);
		break;
	case S2_IMPORT:
		act_move(S2_EXPORT, start, count);
		break;
	case S2_SHARE:
	case S2_EXPORT:
	case S2_RECLAIM:
	case S2_MOVE_COUNT:
		break;
	}
}

bool restore(void)
{
	static const enum s2_move back[S2_STATE_COUNT] = {
		[S2_NONE] = S2_DONATE, [S2_SHARED] = S2_UNSHARE, [S2_EXPORTED] = S2_IMPORT};

	for (unsigned i = 0; i < ORACLE_PAGES; i++) {
		if (w.o.flat.page[i].state == S2_POISONED || w.o.page[i].shown) {
			return false;
		}
	}
	for (unsigned i = 0; i < ORACLE_PAGES; i++) {
		enum s2_state state = w.o.flat.page[i].state;
		unsigned end = i + 1;

		if (state == S2_SECURE) {
			continue;
		}
		while (end < ORACLE_PAGES && w.o.flat.page[end].state == state) {
			end++;
		}
		act_move(back[state], i, end - i);
		for (; i < end && state == S2_NONE; i++) {
			act_guest_writes(i);
		}
		i = end - 1;
	}
	return true;
}

void restore_or_restart(void)
{
	struct choice choice = w.choice;
	uint64_t max_len = w.backend.max_len;

	if (!restore()) {
		world_finish();
		world_start(&choice);
		act_populate();
		w.backend.max_len = max_len;
	}
}

int main(int argc, char **argv)
{
	static TCase *(*const cases[])(void) = {case_round, case_holes, case_matrix,
						case_bad,   case_steps, case_model};
	Suite *suite = suite_create("transition");

	if (argc != 2 || choice_count(argv[1], false) == 0) {
		fputs("usage: test_transition mock|arm64|riscv|ept|npt|s390\n", stderr);
		return EXIT_FAILURE;
	}
	format = argv[1];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *tcase = cases[i]();

		tcase_set_timeout(tcase, 600);
		suite_add_tcase(suite, tcase);
	}
	return check_main(suite);
}

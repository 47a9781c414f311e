/* SPDX-License-Identifier: BSD-2-Clause */
/* Many threads on one space, by the contract at the top of space.h. */
#include "disjoint.h"
#include "overlap.h"

#include "../check_main.h"

void stress_pause(unsigned n); /* preempt.h */

void stress_pause(unsigned n)
{
	if (random_state != 0 && chance(n)) {
		sched_yield();
	}
}

/* For each variant, and each of the two tests. */
static uint64_t milliseconds(void)
{
	const char *text = getenv("STAGE2_STRESS_MS");

	return text == NULL ? 900 : strtoull(text, NULL, 0);
}

static void seed(void)
{
	const char *text = getenv("S2_SEED");

	random_state = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;
	random_state |= 1;
	printf("# S2_SEED=%" PRIu64 "\n", random_state);
	fflush(stdout);
}

START_TEST(disjoint)
{
	unsigned rounds;

	seed();
	rounds = run_disjoint(&variants[_i], milliseconds());
	printf("# %s: %u rounds\n", variants[_i].name, rounds);
	ck_assert_msg(!has_failed(), "%s", failure);
}
END_TEST

START_TEST(overlap)
{
	unsigned rounds;

	seed();
	rounds = run_overlap(&variants[_i], milliseconds());
	printf("# %s: %u rounds\n", variants[_i].name, rounds);
	ck_assert_msg(!has_failed(), "%s", failure);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("stress");
	TCase *tcase = tcase_create("threads");
	int only = -1;

	for (int i = 0; argc > 1 && i < VARIANTS; i++) {
		only = strcmp(variants[i].name, argv[1]) == 0 ? i : only;
	}
	tcase_set_timeout(tcase, 0);
	tcase_add_loop_test(tcase, disjoint, only < 0 ? 0 : only, only < 0 ? VARIANTS : only + 1);
	tcase_add_loop_test(tcase, overlap, only < 0 ? 0 : only, only < 0 ? VARIANTS : only + 1);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

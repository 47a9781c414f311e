/* SPDX-License-Identifier: BSD-2-Clause */
/* Pins against one counter a page, with memory that runs out; what may be pinned. */
#include <check.h>
#include <string.h>

#include "check_main.h"
#include "model/flat.h"
#include "test_env.h"
#include "test_track.h"
#include <stage2/pin.h>

#define FIRST (CHUNK * 3 + 500)
#define COUNT 96u
#define OP_COUNT 40000u

static struct test_env env;
static struct s2_track t;
static struct s2_pins pins;
static unsigned model[COUNT];

static void setup(void)
{
	test_env_init(&env);
	memset(model, 0, sizeof(model));
	ck_assert_int_eq(s2_track_init(&t, &env.env, pages(FIRST, COUNT)), S2_OK);
	ck_assert_int_eq(s2_track_move(&t, t.range, S2_DONATE, false), S2_OK);
	ck_assert_int_eq(s2_track_move(&t, t.range, S2_SHARE, false), S2_OK);
	s2_pins_init(&pins, &env.env);
	ck_assert_uint_eq(env.live, 1 + t.map_count);
}

static void teardown(void)
{
	s2_pins_fini(&pins);
	s2_track_fini(&t);
	ck_assert_uint_eq(env.live, 0);
}

/* The list says what the counters say, in as few stretches as can be. */
static void compare(void)
{
	struct s2_pin want = {0, 0, 0};
	size_t at = 0;
	uint64_t pinned = 0;

	for (unsigned i = 0; i <= COUNT; i++) {
		unsigned count = i < COUNT ? model[i] : 0;

		pinned += count != 0;
		if (count == want.count) {
			continue;
		}
		want.end = FIRST + i;
		if (want.count != 0 &&
		    (at >= pins.pin_count || memcmp(&pins.pin[at++], &want, sizeof(want)) != 0)) {
			ck_abort_msg("stretch %zu is not the one that ends at page %u", at, i);
		}
		want = (struct s2_pin){FIRST + i, 0, count};
	}
	if (at != pins.pin_count || pinned != pins.page_count) {
		ck_abort_msg("stretches or pages too many");
	}
}

static void ask(unsigned start, unsigned count)
{
	s2_gpa_t first = s2_gpa(0);
	unsigned want = start;
	bool is;

	while (want < start + count && model[want] == 0) {
		want++;
	}
	is = s2_pinned(&pins, pages(FIRST + start, count), &first);
	if (is != (want < start + count) || (is && first.val != (FIRST + want) * S2_PAGE_SIZE) ||
	    is != s2_pinned(&pins, pages(FIRST + start, count), NULL)) {
		ck_abort_msg("pages from %u: the first that is pinned should be %u", start, want);
	}
}

static void pin_or_unpin(unsigned start, unsigned count)
{
	bool add = flat_below(2) == 0;
	bool may = true;
	enum s2_err err;

	for (unsigned i = start; i < start + count && !add; i++) {
		may = may && model[i] != 0;
	}
	test_env_fail(&env, flat_below(3) == 0 ? 1 : 0);
	err = add ? s2_pin(&pins, &t, pages(FIRST + start, count))
		  : s2_unpin(&pins, pages(FIRST + start, count));
	if (err == S2_ERR_NOMEM && env.fail_from != 0 && env.calls >= env.fail_from) {
		test_env_fail(&env, 0);
		return;
	}
	test_env_fail(&env, 0);
	if (err != (may ? S2_OK : S2_ERR_STATE)) {
		ck_abort_msg("%s: %s", add ? "pin" : "unpin", s2_strerror(err));
	}
	for (unsigned i = start; i < start + count && may; i++) {
		model[i] += add ? 1u : -1u;
	}
}

START_TEST(random_pins)
{
	flat_random_state = flat_seed();
	for (unsigned n = 0; n < OP_COUNT; n++) {
		unsigned start = flat_below(COUNT);
		unsigned count = 1 + flat_below(flat_below(4) == 0 ? COUNT - start : 4);

		count = count < COUNT - start ? count : COUNT - start;
		pin_or_unpin(start, count);
		ask(flat_below(COUNT / 2), 1 + flat_below(COUNT / 2));
		compare();
		if (n % 2000 == 1999) {
			/* From a list that has room to one that has not. */
			s2_pins_fini(&pins);
			memset(model, 0, sizeof(model));
		}
	}
}
END_TEST

START_TEST(only_what_was_offered)
{
	ck_assert_int_eq(s2_track_release(&t, pages(FIRST + 1, 1)), S2_OK);
	ck_assert_int_eq(s2_track_move(&t, pages(FIRST + 3, 1), S2_UNSHARE, false), S2_OK);
	ck_assert_int_eq(s2_track_begin(&t, pages(FIRST + 5, 1), S2_UNSHARE, false), S2_OK);
	ck_assert_int_eq(s2_track_poison(&t, pages(FIRST + 7, 1)), S2_OK);
	ck_assert_int_eq(s2_pin(&pins, &t, pages(FIRST, 8)), S2_ERR_EXPOSE);
	ck_assert_int_eq(s2_pin(&pins, &t, pages(FIRST + 2, 6)), S2_ERR_STATE);
	ck_assert_int_eq(s2_pin(&pins, &t, pages(FIRST + 4, 4)), S2_ERR_BUSY);
	ck_assert_int_eq(s2_pin(&pins, &t, pages(FIRST + 6, 2)), S2_ERR_POISON);
	ck_assert_int_eq(s2_pin(&pins, &t, pages(FIRST + COUNT - 1, 2)), S2_ERR_RANGE);
	ck_assert_int_eq(s2_pin(&pins, &t, pages(FIRST, 0)), S2_ERR_INVAL);
	ck_assert_int_eq(s2_pin(&pins, &t, s2_range(s2_gpa(1), 4096)), S2_ERR_ALIGN);
	ck_assert_int_eq(s2_unpin(&pins, s2_range(s2_gpa(1), 4096)), S2_ERR_ALIGN);
	ck_assert_int_eq(s2_unpin(&pins, pages(FIRST, 1)), S2_ERR_STATE);
	ck_assert_uint_eq(pins.pin_count, 0);
	ck_assert_uint_eq(pins.page_count, 0);
	ck_assert_int_eq(s2_pin(&pins, &t, pages(FIRST, 1)), S2_OK);
	ck_assert_int_eq(s2_pin(&pins, &t, pages(FIRST + 2, 1)), S2_OK);
	ck_assert_uint_eq(pins.page_count, 2);
	ck_assert_int_eq(s2_track_undo(&t, pages(FIRST + 5, 1)), S2_OK);
}
END_TEST

/* A comb, and pins across it: as many stretches as there can be, and room for each of them. */
START_TEST(a_comb)
{
	for (unsigned i = 0; i < COUNT; i += 2) {
		ck_assert_int_eq(s2_pin(&pins, &t, pages(FIRST + i, 1)), S2_OK);
		model[i]++;
	}
	compare();
	ck_assert_uint_eq(pins.pin_count, COUNT / 2);
	for (unsigned i = 1; i < 20; i++) {
		ck_assert_int_eq(s2_pin(&pins, &t, pages(FIRST + i, COUNT - 2 * i)), S2_OK);
		for (unsigned k = i; k < COUNT - i; k++) {
			model[k]++;
		}
		compare();
	}
	for (unsigned i = 1; i < 20; i++) {
		ck_assert_int_eq(s2_unpin(&pins, pages(FIRST + i, COUNT - 2 * i)), S2_OK);
	}
	ck_assert_uint_eq(pins.pin_count, COUNT / 2);
	ck_assert_int_eq(s2_unpin(&pins, pages(FIRST, COUNT)), S2_ERR_STATE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pin");
	TCase *tcase = tcase_create("pin");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, random_pins);
	tcase_add_test(tcase, only_what_was_offered);
	tcase_add_test(tcase, a_comb);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

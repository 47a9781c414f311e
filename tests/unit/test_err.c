/* SPDX-License-Identifier: BSD-2-Clause */
#include <check.h>
#include <ctype.h>
#include <string.h>

#include "check_main.h"
#include <stage2/stage2.h>

/* The numbers are ABI. */
START_TEST(numbers)
{
	ck_assert_int_eq(S2_OK, 0);
	ck_assert_int_eq(S2_ERR_INVAL, 1);
	ck_assert_int_eq(S2_ERR_ALIGN, 2);
	ck_assert_int_eq(S2_ERR_WRAP, 3);
	ck_assert_int_eq(S2_ERR_RANGE, 4);
	ck_assert_int_eq(S2_ERR_STATE, 5);
	ck_assert_int_eq(S2_ERR_BUSY, 6);
	ck_assert_int_eq(S2_ERR_POISON, 7);
	ck_assert_int_eq(S2_ERR_EXPOSE, 8);
	ck_assert_int_eq(S2_ERR_NOMEM, 9);
	ck_assert_int_eq(S2_ERR_BACKEND, 10);
	ck_assert_int_eq(S2_ERR_EXISTS, 11);
	ck_assert_int_eq(S2_ERR_OVERLAP, 12);
	ck_assert_int_eq(S2_ERR_FORMAT, 13);
	ck_assert_int_eq(S2_ERR_MIXED, 14);
	ck_assert_int_eq(S2_ERR_ABSENT, 15);
	ck_assert_int_eq(S2_ERR_AGAIN, 16);
	ck_assert_int_eq(S2_ERR_HELD, 17);
	ck_assert_int_eq(S2_ERR_COUNT, 18);
}
END_TEST

START_TEST(texts)
{
	for (int err = 0; err < S2_ERR_COUNT; err++) {
		const char *text = s2_strerror((enum s2_err)err);

		ck_assert_ptr_nonnull(text);
		ck_assert(islower((unsigned char)text[0]));
		ck_assert(text[strlen(text) - 1] != '.');
		ck_assert_str_ne(text, "unknown error");
		for (int other = 0; other < err; other++) {
			ck_assert_str_ne(text, s2_strerror((enum s2_err)other));
		}
	}
	ck_assert_str_eq(s2_strerror(S2_ERR_COUNT), "unknown error");
	ck_assert_str_eq(s2_strerror((enum s2_err) - 1), "unknown error");
}
END_TEST

START_TEST(names)
{
	ck_assert_str_eq(s2_state_name(S2_NONE), "none");
	ck_assert_str_eq(s2_state_name(S2_SECURE), "secure");
	ck_assert_str_eq(s2_state_name(S2_SHARED), "shared");
	ck_assert_str_eq(s2_state_name(S2_EXPORTED), "exported");
	ck_assert_str_eq(s2_state_name(S2_POISONED), "poisoned");
	ck_assert_str_eq(s2_state_name(S2_STATE_COUNT), "unknown");
	ck_assert_str_eq(s2_move_name(S2_DONATE), "donate");
	ck_assert_str_eq(s2_move_name(S2_SHARE), "share");
	ck_assert_str_eq(s2_move_name(S2_UNSHARE), "unshare");
	ck_assert_str_eq(s2_move_name(S2_EXPORT), "export");
	ck_assert_str_eq(s2_move_name(S2_IMPORT), "import");
	ck_assert_str_eq(s2_move_name(S2_RECLAIM), "reclaim");
	ck_assert_str_eq(s2_move_name(S2_MOVE_COUNT), "unknown");
	ck_assert_str_eq(s2_policy_name(S2_EXACT), "exact");
	ck_assert_str_eq(s2_policy_name(S2_WIDEN), "widen");
	ck_assert_str_eq(s2_policy_name(S2_REFUSE), "refuse");
	ck_assert_str_eq(s2_policy_name(S2_POLICY_COUNT), "unknown");
	ck_assert_str_eq(s2_policy_name((enum s2_policy) - 1), "unknown");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("err");
	TCase *tcase = tcase_create("err");

	tcase_add_test(tcase, numbers);
	tcase_add_test(tcase, texts);
	tcase_add_test(tcase, names);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "check_main.h"
#include "log.h"
#include "parse.h"
#include "test_files.h"

#define K UINT64_C(1024)

START_TEST(sizes)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{"0", 0},
		{"1", 1},
		{"4K", 4 * K},
		{"256M", 256 * K * K},
		{"1G", K * K * K},
		{"0G", 0},
		{"007K", 7 * K}, /* decimal, whatever it begins with */
		{"18446744073709551615", UINT64_MAX},
		{"18014398509481983K", UINT64_MAX - K + 1},
		{"17179869183G", UINT64_MAX - K * K * K + 1},
	};
	static const char *const bad[] = {
		"",
		"K",
		"12x",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1KB",
		"4k",
		"1g",
		"0x10",
		"1.5G",
		"1T",
		"1GG",
		"1G ",
		"M1",
		"1-",
		"\t1",
		"18446744073709551616",
		"18014398509481984K",
		"17592186044416M",
		"17179869184G",
		"99999999999999999999999999",
		"18446744073709551615K",
		"-18446744073709551615",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t value = 77;

		ck_assert_msg(parse_size(good[i].text, &value), "'%s'", good[i].text);
		ck_assert_uint_eq(value, good[i].value);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t value;

		ck_assert_msg(!parse_size(bad[i], &value), "'%s' was taken", bad[i]);
	}
}
END_TEST

START_TEST(numbers)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		bool good;
	} cases[] = {
		{"1", 1, 8, true},
		{"8", 1, 8, true},
		{"0", 1, 8, false},
		{"9", 1, 8, false},
		{"08", 1, 8, true},
		{"0", 0, 0, true},
		{"18446744073709551615", 0, UINT64_MAX, true},
		{"18446744073709551616", 0, UINT64_MAX, false},
		{"", 0, 8, false},
		{"-1", 0, UINT64_MAX, false},
		{"+1", 0, 8, false},
		{" 1", 0, 8, false},
		{"1 ", 0, 8, false},
		{"1K", 0, UINT64_MAX, false},
		{"0x1", 0, 8, false},
		{"1e0", 0, 8, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 77;

		ck_assert_msg(parse_number(cases[i].text, cases[i].min, cases[i].max, &value) ==
				      cases[i].good,
			      "'%s'", cases[i].text);
		if (cases[i].good) {
			ck_assert_uint_eq(value, strtoull(cases[i].text, NULL, 10));
		}
	}
}
END_TEST

START_TEST(backings)
{
	static const struct {
		const char *text;
		enum ram_backing backing;
		const char *path;
	} good[] = {
		{"anon", RAM_ANON, NULL},   {"thp", RAM_THP, NULL},
		{"memfd", RAM_MEMFD, NULL}, {"file:/dev/shm/a", RAM_FILE, "/dev/shm/a"},
		{"file:a", RAM_FILE, "a"},  {"file:file:", RAM_FILE, "file:"},
	};
	static const char *const bad[] = {"",	  "file",  "file:", "FILE:a",  "anon ",	 " anon",
					  "Anon", "anon:", "thp2",  "hugetlb", "unknown"};
	enum ram_backing backing;
	const char *path;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		path = "stale";
		ck_assert_msg(parse_backing(good[i].text, &backing, &path), "'%s'", good[i].text);
		ck_assert_int_eq(backing, good[i].backing);
		if (good[i].path) {
			ck_assert_str_eq(path, good[i].path);
			ck_assert_ptr_eq(path, good[i].text + 5); /* points into the text */
		} else {
			ck_assert_ptr_null(path);
		}
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!parse_backing(bad[i], &backing, &path), "'%s' was taken", bad[i]);
	}
}
END_TEST

START_TEST(bad_value)
{
	test_stderr_begin();
	ck_assert_int_eq(parse_bad_value("memory", "12x", "a size like 256M"), EXIT_CODE_USAGE);
	ck_assert_str_eq(test_stderr_end(), "stage2: --memory '12x': a size like 256M\n");
}
END_TEST

/* Writes down what it was given: "m=1G q". */
static char taken[64];

static int take(void *cookie, int id, const char *value)
{
	size_t len = strlen(taken);

	ck_assert_ptr_eq(cookie, taken);
	snprintf(taken + len, sizeof(taken) - len, "%c%s%s ", id, value ? "=" : "",
		 value ? value : "");
	return id == 'e' ? 42 : 0;
}

static const struct option options[] = {{"memory", required_argument, NULL, 'm'},
					{"quiet", no_argument, NULL, 'q'},
					{"end", no_argument, NULL, 'e'},
					{0}};

START_TEST(options_taken)
{
	static const struct {
		const char *argv[6];
		const char *taken;
		int rest;
		int code;
	} cases[] = {
		{{"run"}, "", 1, 0},
		{{"run", "--memory", "1G", "--quiet", "a"}, "m=1G q ", 4, 0},
		{{"run", "--memory=1G", "a", "--quiet"}, "m=1G ", 2, 0}, /* in order: a ends it */
		{{"run", "--quiet", "--", "--quiet"}, "q ", 3, 0},
		{{"run", "--memory", "--quiet"}, "m=--quiet ", 3, 0},
		{{"run", "--end", "--quiet"}, "e ", 2, 42}, /* stops at the first error */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *argv[6];
		int argc = 0, rest = -1;

		memcpy(argv, cases[i].argv, sizeof(argv));
		while (argc < 6 && argv[argc]) {
			argc++;
		}
		optind = 1;
		taken[0] = '\0';
		ck_assert_int_eq(parse_options(argc, argv, options, take, taken, &rest),
				 cases[i].code);
		ck_assert_str_eq(taken, cases[i].taken);
		ck_assert_int_eq(rest, cases[i].rest);
	}
}
END_TEST

START_TEST(options_bad)
{
	static const struct {
		const char *argv[4];
		const char *said;
	} cases[] = {
		{{"run", "--quiet", "--nope"}, "unknown option '--nope'"},
		{{"run", "--quiet", "--memory"}, "option '--memory' needs a value"},
		{{"run", "-x", "a"}, "unknown option '-x'"},
		{{"run", "--nope=1"}, "unknown option '--nope=1'"},
		{{"run", "--quiet", "-xy"}, "unknown option '-xy'"}, /* last: getopt is inside it */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char want[128];
		char *argv[4];
		int argc = 0, rest;

		memcpy(argv, cases[i].argv, sizeof(argv));
		while (argc < 4 && argv[argc]) {
			argc++;
		}
		optind = 1;
		test_stderr_begin();
		ck_assert_int_eq(parse_options(argc, argv, options, take, taken, &rest),
				 EXIT_CODE_USAGE);
		snprintf(want, sizeof(want), "stage2: %s: see 'stage2 run --help'\n",
			 cases[i].said);
		ck_assert_str_eq(test_stderr_end(), want);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("parse");
	TCase *tcase = tcase_create("parse");

	tcase_add_test(tcase, sizes);
	tcase_add_test(tcase, numbers);
	tcase_add_test(tcase, backings);
	tcase_add_test(tcase, bad_value);
	tcase_add_test(tcase, options_taken);
	tcase_add_test(tcase, options_bad);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_main.h"
#include "example.h"
#include "files.h"
#include "log.h"
#include "report.h"

#define MUTATIONS 3000

static char folder[64];
static char json_path[96];
static char html_path[96];
static struct report example;

/* The error lines are expected and would only hide others. */
static void hush(void)
{
	int fd = open("/dev/null", O_WRONLY);

	ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
	close(fd);
}

static void setup(void)
{
	hush();
	strcpy(folder, "/tmp/test-report-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(json_path, sizeof(json_path), "%s/a.json", folder);
	snprintf(html_path, sizeof(html_path), "%s/a.html", folder);
	example_make(&example);
}

static void teardown(void)
{
	unlink(json_path);
	unlink(html_path);
	ck_assert_int_eq(rmdir(folder), 0); /* fails if anything was left behind */
	report_free(&example);
}

static int read_back(void)
{
	struct report report;
	int result = report_read_json(&report, json_path);

	report_free(&report);
	return result;
}

static json_object *example_json(void)
{
	size_t length;
	json_object *top;
	char *text;

	example.row_count = 2;
	ck_assert_int_eq(report_write_json(&example, json_path), EXIT_CODE_OK);
	text = slurp(json_path, &length);
	top = json_tokener_parse(text);
	ck_assert_ptr_nonnull(top);
	free(text);
	return top;
}

START_TEST(round_trip)
{
	struct report report;
	size_t first_length;
	size_t second_length;
	char *first;
	char *second;

	example.seed = REPORT_SEED_MAX;
	ck_assert_int_eq(report_write_json(&example, json_path), EXIT_CODE_OK);
	first = slurp(json_path, &first_length);
	ck_assert_int_eq(report_read_json(&report, json_path), EXIT_CODE_OK);
	ck_assert_uint_eq(report.seed, REPORT_SEED_MAX);
	ck_assert_uint_eq(report.row_count, example.row_count);
	for (size_t i = 0; i < report.row_count; i++) {
		ck_assert_mem_eq(&report.row[i].counted, &example.row[i].counted,
				 sizeof(report.row[i].counted));
		ck_assert_mem_eq(&report.row[i].modelled, &example.row[i].modelled,
				 sizeof(report.row[i].modelled));
	}
	ck_assert_mem_eq(report.backing, example.backing,
			 report.backing_count * sizeof(report.backing[0]));
	ck_assert_int_eq(report_write_json(&report, json_path), EXIT_CODE_OK);
	second = slurp(json_path, &second_length);
	ck_assert_uint_eq(first_length, second_length);
	ck_assert_mem_eq(first, second, first_length);
	free(first);
	free(second);
	report_free(&report);
}
END_TEST

START_TEST(write_refuses_what_cannot_be_read)
{
	example.row[1].timed.seconds = -1;
	ck_assert_int_eq(report_write_json(&example, json_path), EXIT_CODE_INTERNAL);
	example.row[1].timed.seconds = 1;
	example.row[1].counted.steps = UINT64_MAX;
	ck_assert_int_eq(report_write_json(&example, json_path), EXIT_CODE_INTERNAL);
	example.row[1].counted.steps = 1;
	example.seed = REPORT_SEED_MAX + 1;
	ck_assert_int_eq(report_write_json(&example, json_path), EXIT_CODE_INTERNAL);
	example.seed = 1;
	strcpy(example.board, "a\033[2J");
	ck_assert_int_eq(report_write_json(&example, json_path), EXIT_CODE_INTERNAL);
}
END_TEST

START_TEST(unwritable_paths)
{
	ck_assert_int_eq(report_write_json(&example, "/nonexistent/a.json"), EXIT_CODE_CANT_CREATE);
	ck_assert_int_eq(report_write_json(&example, folder), EXIT_CODE_CANT_CREATE);
	ck_assert_int_eq(report_write_json(&example, ""), EXIT_CODE_CANT_CREATE);
	ck_assert_int_eq(report_write_json(&example, "/dev/full"), EXIT_CODE_CANT_CREATE);
	ck_assert_int_eq(report_write_json(&example, "/dev/null"), EXIT_CODE_OK);
}
END_TEST

START_TEST(unreadable_files)
{
	static const char *const texts[] = {
		"",	   "{",	    "[]",
		"7",	   "null",  "{}",
		"no JSON", "{} {}", "{\"schema\":\"stage2-measure\",\"version\":2}"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		spill(json_path, texts[i], strlen(texts[i]));
		ck_assert_int_eq(read_back(), EXIT_CODE_DATA);
	}
	ck_assert_int_eq(truncate(json_path, (64l << 20) + 1), 0);
	ck_assert_int_eq(read_back(), EXIT_CODE_DATA);
	unlink(json_path);
	ck_assert_int_eq(read_back(), EXIT_CODE_NO_INPUT);
}
END_TEST

static void write_top(json_object *top)
{
	const char *text = json_object_to_json_string(top);

	spill(json_path, text, strlen(text));
}

/* Sizes of leaves come and go with the data: they may be missing, but not be ill-typed. */
static bool may_be_missing(const char *name)
{
	return name[0] >= '0' && name[0] <= '9';
}

static void spoil_member(json_object *top, json_object *object, const char *name)
{
	static const char *const wrong[] = {
		"null",	      "-1", "1e300", "[]", "\"\\u0000\"", "true", "99999999999999999999",
		"\"\\u001b\""};
	json_object *right = NULL;
	int good = 0;

	ck_assert(json_object_object_get_ex(object, name, &right));
	json_object_get(right);
	json_object_object_del(object, name);
	write_top(top);
	if (!may_be_missing(name)) {
		ck_assert_msg(strcmp(name, "name") == 0 || read_back() == EXIT_CODE_DATA, "%s",
			      name);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_object_object_add(object, name, json_tokener_parse(wrong[i]));
		write_top(top);
		good += read_back() == EXIT_CODE_OK ? 1 : 0;
	}
	/* tool.name is not read; "emulated" is true anyway; no size need be known. */
	ck_assert_msg(good == 0 || strcmp(name, "achieved") == 0 || strcmp(name, "name") == 0 ||
			      strcmp(name, "emulated") == 0,
		      "%s", name);
	json_object_object_add(object, name, right);
}

static void spoil_all(json_object *top, json_object *value)
{
	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++) {
			spoil_all(top, json_object_array_get_idx(value, i));
		}
	} else if (json_object_is_type(value, json_type_object)) {
		char *names[64];
		size_t count = 0;

		json_object_object_foreach(value, key, member)
		{
			(void)member;
			ck_assert_uint_lt(count, sizeof(names) / sizeof(names[0]));
			names[count++] = strdup(key);
		}
		for (size_t i = 0; i < count; i++) {
			json_object *inner = NULL;

			spoil_member(top, value, names[i]);
			ck_assert(json_object_object_get_ex(value, names[i], &inner));
			spoil_all(top, inner);
			free(names[i]);
		}
	}
}

START_TEST(every_member_is_checked)
{
	json_object *top = example_json();

	spoil_all(top, top);
	write_top(top);
	ck_assert_int_eq(read_back(), EXIT_CODE_OK);
	json_object_put(top);
}
END_TEST

/* Replaces the first occurrence of one text by another of the same length. */
static int read_replaced(const char *from, const char *to)
{
	size_t length;
	char *text;
	char *at;

	ck_assert_uint_eq(strlen(from), strlen(to));
	ck_assert_int_eq(report_write_json(&example, json_path), EXIT_CODE_OK);
	text = slurp(json_path, &length);
	at = strstr(text, from);
	ck_assert_ptr_nonnull(at);
	memcpy(at, to, strlen(to));
	spill(json_path, text, length);
	free(text);
	return read_back();
}

START_TEST(values_that_make_no_sense)
{
	ck_assert_int_eq(read_replaced("\"made-up\"", "\"made-up\""), EXIT_CODE_OK);
	ck_assert_int_eq(read_replaced("\"grain\": \"16K\"", "\"grain\": \"17K\""), EXIT_CODE_DATA);
	ck_assert_int_eq(read_replaced("\"policy\": \"widen\"", "\"policy\": \"widow\""),
			 EXIT_CODE_DATA);
	ck_assert_int_eq(read_replaced("\"64K\": ", "\"63K\": "), EXIT_CODE_DATA);
	ck_assert_int_eq(read_replaced("\"folio\": 4096", "\"folio\": 4097"), EXIT_CODE_DATA);
	ck_assert_int_eq(read_replaced("\"emulated\": true", "\"emulated\":false"), EXIT_CODE_DATA);
	/* One more than fits: it neither wraps nor saturates. */
	example.seed = REPORT_SEED_MAX;
	ck_assert_int_eq(
		read_replaced("\"seed\": 9223372036854775807", "\"seed\": 9223372036854775808"),
		EXIT_CODE_DATA);
	/* The same row twice. */
	ck_assert_int_eq(read_replaced("\"policy\": \"widen\"", "\"policy\": \"exact\""),
			 EXIT_CODE_DATA);
}
END_TEST

START_TEST(mutations_never_crash)
{
	struct report report;
	uint64_t random = 1;
	size_t length;
	char *text;
	char *spoiled;

	example.row_count = 2;
	ck_assert_int_eq(report_write_json(&example, json_path), EXIT_CODE_OK);
	text = slurp(json_path, &length);
	spoiled = malloc(length);
	ck_assert_ptr_nonnull(spoiled);
	for (int i = 0; i < MUTATIONS; i++) {
		size_t kept = length;

		memcpy(spoiled, text, length);
		for (int flips = 0; flips <= i % 4; flips++) {
			random = random * UINT64_C(6364136223846793005) + 1;
			spoiled[(random >> 20) % length] =
				i % 2 == 0 ? (char)(random >> 56)
					   : "{}[]\",:-0159eE.\\ "[(random >> 56) % 17];
		}
		if (i % 16 == 0) {
			kept = (random >> 30) % length;
		}
		spill(json_path, spoiled, kept);
		if (report_read_json(&report, json_path) == EXIT_CODE_OK) {
			FILE *sink = fopen("/dev/null", "w");

			ck_assert_int_eq(report_print_table(&report, sink), EXIT_CODE_OK);
			fclose(sink);
		}
		report_free(&report);
	}
	free(spoiled);
	free(text);
}
END_TEST

static void check_table(void)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	size_t column = 0;

	ck_assert_int_eq(report_print_table(&example, out), EXIT_CODE_OK);
	fclose(out);
	for (size_t i = 0; i < length; i++) {
		ck_assert(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
		column = text[i] == '\n' ? 0 : column + 1;
		ck_assert_uint_le(column, 100);
	}
	ck_assert_ptr_nonnull(strstr(text, "ring on thp"));
	ck_assert((strstr(text, "(emulated)") != NULL) == (example.board[0] != '\0'));
	free(text);
}

START_TEST(table_fits)
{
	FILE *full = fopen("/dev/full", "w");

	ck_assert_ptr_nonnull(full);
	ck_assert_int_eq(report_print_table(&example, full), EXIT_CODE_CANT_CREATE);
	fclose(full);
	check_table();
	example.board[0] = '\0';
	check_table();
	for (size_t i = 0; i < example.row_count; i++) {
		struct report_row *row = &example.row[i];

		memset(&row->timed, 0, sizeof(row->timed));
		row->counted = (struct report_counted){0};
		if (i % 3 == 0) {
			memset(&row->counted, 0x11, sizeof(row->counted));
			memset(&row->modelled.after.count[12], 0x01, 20 * sizeof(uint64_t));
		}
	}
	check_table();
	example.row_count = 3; /* grains are missing */
	check_table();
}
END_TEST

static bool have_gnuplot(void)
{
	return system("command -v gnuplot >/dev/null") == 0;
}

static void check_ids_unique(const char *text)
{
	for (const char *at = text; (at = strstr(at, " id=")) != NULL; at++) {
		char id[128];
		size_t length = strcspn(at + 5, "\"'") + 6;

		ck_assert_uint_lt(length, sizeof(id));
		memcpy(id, at, length);
		id[length] = '\0';
		ck_assert_msg(strstr(at + 1, id) == NULL, "%s stands twice", id);
	}
}

START_TEST(html_is_whole)
{
	size_t length;
	char *text;

	if (!have_gnuplot()) {
		return;
	}
	strcpy(example.kernel, "<b>&\"'");
	strcpy(example.row[0].workload, "`ring`'<i>");
	ck_assert_int_eq(report_write_html(&example, html_path), EXIT_CODE_OK);
	text = slurp(html_path, &length);
	ck_assert_ptr_nonnull(strstr(text, "&lt;b&gt;&amp;&quot;&#39;"));
	ck_assert_ptr_nonnull(strstr(text, "<title>What does it cost"));
	ck_assert_ptr_nonnull(strstr(text, "</html>"));
	ck_assert_ptr_null(strstr(text, "<b>"));
	ck_assert_ptr_null(strstr(text, "<i>"));
	ck_assert_ptr_null(strstr(text, "<?xml"));
	ck_assert_ptr_null(strstr(text, "<script"));
	ck_assert_ptr_null(strstr(text, "src="));
	ck_assert_ptr_null(strstr(text, "href=\"http"));
	check_ids_unique(text);
	free(text);
}
END_TEST

START_TEST(html_of_few_rows)
{
	if (!have_gnuplot()) {
		return;
	}
	example.row_count = 4; /* no 64K */
	ck_assert_int_eq(report_write_html(&example, html_path), EXIT_CODE_OK);
	memset(&example.row[0].counted, 0, sizeof(example.row[0].counted));
	example.row_count = 1;
	ck_assert_int_eq(report_write_html(&example, html_path), EXIT_CODE_OK);
}
END_TEST

START_TEST(html_without_gnuplot)
{
	setenv("PATH", "/nonexistent", 1);
	ck_assert_int_eq(report_write_html(&example, html_path), EXIT_CODE_UNAVAILABLE);
	ck_assert_int_ne(access(html_path, F_OK), 0);
}
END_TEST

static int main_with(const char *a, const char *b, const char *c)
{
	const char *const from[] = {"report", a, b, c};
	char *argv[5] = {NULL};
	int argc = 0;
	int result;

	while (argc < 4 && from[argc] != NULL) {
		argv[argc] = strdup(from[argc]);
		argc++;
	}
	result = report_main(argc, argv);
	while (argc > 0) {
		free(argv[--argc]);
	}
	return result;
}

START_TEST(command_line)
{
	int out = open("/dev/null", O_WRONLY);

	fflush(stdout); /* stdout is a TAP pipe; this runs in Check's child */
	ck_assert_int_ge(dup2(out, STDOUT_FILENO), 0);
	close(out);
	ck_assert_int_eq(report_write_json(&example, json_path), EXIT_CODE_OK);
	ck_assert_int_eq(main_with(json_path, NULL, NULL), EXIT_CODE_OK);
	ck_assert_int_eq(main_with("--help", NULL, NULL), EXIT_CODE_OK);
	ck_assert_int_eq(main_with(NULL, NULL, NULL), EXIT_CODE_USAGE);
	ck_assert_int_eq(main_with("--x", NULL, NULL), EXIT_CODE_USAGE);
	ck_assert_int_eq(main_with(json_path, "--html", NULL), EXIT_CODE_USAGE);
	ck_assert_int_eq(main_with(json_path, json_path, NULL), EXIT_CODE_USAGE);
	ck_assert_int_eq(main_with("/nonexistent", NULL, NULL), EXIT_CODE_NO_INPUT);
	if (have_gnuplot()) {
		ck_assert_int_eq(main_with("--html", html_path, json_path), EXIT_CODE_OK);
		ck_assert_int_eq(access(html_path, R_OK), 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("report");
	TCase *tcase = tcase_create("report");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, round_trip);
	tcase_add_test(tcase, write_refuses_what_cannot_be_read);
	tcase_add_test(tcase, unwritable_paths);
	tcase_add_test(tcase, unreadable_files);
	tcase_add_test(tcase, every_member_is_checked);
	tcase_add_test(tcase, values_that_make_no_sense);
	tcase_add_test(tcase, mutations_never_crash);
	tcase_add_test(tcase, table_fits);
	tcase_add_test(tcase, html_is_whole);
	tcase_add_test(tcase, html_of_few_rows);
	tcase_add_test(tcase, html_without_gnuplot);
	tcase_add_test(tcase, command_line);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

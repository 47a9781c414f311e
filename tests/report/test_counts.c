/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts of `stage2 metal`: lines, JSON, table. All figures are made up. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "counts.h"
#include "files.h"
#include "log.h"

#define MUTATIONS 3000

static char folder[64];
static char path[96];
static struct counts made;

static void add(const char *line)
{
	struct counts_row row;

	ck_assert(counts_parse(line, &row));
	ck_assert_int_eq(counts_add(&made, &row), EXIT_CODE_OK);
}

static void setup(void)
{
	/* The error lines are expected and would only hide others. */
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	strcpy(folder, "/tmp/test-counts-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a.json", folder);
	made = (struct counts){.tool_version = "1",
			       .arch = "arm64",
			       .emulator = "qemu",
			       .emulator_version = "7.2.22 (made up)"};
	add("count 4-level map pages=1 instructions=100 flushes=0 calls=0 ranges=0");
	add("count 4-level map pages=512 instructions=12345678 flushes=3 calls=2 ranges=1");
	add("count 5-level split pages=0 instructions=0 flushes=0 calls=0 ranges=9007199254740992");
}

static void teardown(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(folder), 0); /* fails if anything was left behind */
	counts_free(&made);
}

/* Reads the file, and prints what it holds. */
static int read_back(void)
{
	FILE *sink = fopen("/dev/null", "w");
	struct counts counts;
	int result = counts_read_json(&counts, path);

	ck_assert_ptr_nonnull(sink);
	if (result == EXIT_CODE_OK) {
		ck_assert_int_eq(counts_print_table(&counts, sink), EXIT_CODE_OK);
	}
	counts_free(&counts);
	fclose(sink);
	return result;
}

START_TEST(lines)
{
	static const char *const bad[] = {
		"",
		"count",
		"count a map",
		"counts a map pages=1 instructions=1 flushes=1 calls=1 ranges=1",
		"count  map pages=1 instructions=1 flushes=1 calls=1 ranges=1",
		"count a map pages=1 instructions=1 flushes=1 calls=1",
		"count a map pages=1 instructions=1 flushes=1 calls=1 ranges=",
		"count a map pages=1 instructions=1 flushes=1 calls=1 ranges=1 ",
		"count a map pages=1 instructions=1 flushes=1 calls=1 ranges=1 x=1",
		"count a map pages=1 instructions=1 flushes=1 ranges=1 calls=1",
		"count a map pages=1 instructions=-1 flushes=1 calls=1 ranges=1",
		"count a map pages=1 instructions=0x1 flushes=1 calls=1 ranges=1",
		"count a map pages=9007199254740993 instructions=1 flushes=1 calls=1 ranges=1",
		"count a map pages=99999999999999999999999 instructions=1 flushes=1 calls=1 ranges=1",
		"count a\tb map pages=1 instructions=1 flushes=1 calls=1 ranges=1",
	};
	struct counts_row row;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!counts_parse(bad[i], &row), "%s", bad[i]);
	}
	ck_assert(counts_parse("count a map pages=2 instructions=3 flushes=4 calls=5 ranges=6",
			       &row));
	ck_assert_str_eq(row.space, "a");
	ck_assert_str_eq(row.operation, "map");
	ck_assert_uint_eq(row.pages, 2);
	ck_assert_uint_eq(row.instructions, 3);
	ck_assert_uint_eq(row.flushes, 4);
	ck_assert_uint_eq(row.calls, 5);
	ck_assert_uint_eq(row.ranges, 6);
}
END_TEST

START_TEST(round_trip)
{
	struct counts counts;
	size_t first_length;
	size_t second_length;
	char *first;
	char *second;

	ck_assert_int_eq(counts_write_json(&made, path), EXIT_CODE_OK);
	first = slurp(path, &first_length);
	ck_assert_int_eq(counts_read_json(&counts, path), EXIT_CODE_OK);
	ck_assert_uint_eq(counts.row_count, 3);
	ck_assert_uint_eq(counts.row[2].ranges, UINT64_C(1) << 53);
	ck_assert_int_eq(counts_write_json(&counts, path), EXIT_CODE_OK);
	second = slurp(path, &second_length);
	ck_assert_uint_eq(first_length, second_length);
	ck_assert_mem_eq(first, second, first_length);
	free(first);
	free(second);
	counts_free(&counts);
}
END_TEST

START_TEST(write_refuses_what_cannot_be_read)
{
	add("count 5-level map pages=1 instructions=1 flushes=0 calls=0 ranges=0");
	ck_assert_int_eq(counts_write_json(&made, path), EXIT_CODE_OK);
	made.row[3] = made.row[0];
	ck_assert_int_eq(counts_write_json(&made, path), EXIT_CODE_INTERNAL);
	made.row_count = 0;
	ck_assert_int_eq(counts_write_json(&made, path), EXIT_CODE_INTERNAL);
	made.row_count = 1;
	made.row[0].flushes = UINT64_MAX;
	ck_assert_int_eq(counts_write_json(&made, path), EXIT_CODE_INTERNAL);
	made.row[0].flushes = 0;
	strcpy(made.arch, "\033[2J");
	ck_assert_int_eq(counts_write_json(&made, path), EXIT_CODE_INTERNAL);
}
END_TEST

static void write_top(json_object *top)
{
	const char *text = json_object_to_json_string(top);

	spill(path, text, strlen(text));
}

/* No member may be missing or ill-typed. tool.name is not read. */
static void spoil_members(json_object *top, json_object *object, bool is_tool)
{
	json_object_object_foreach(object, key, member)
	{
		static const char *const wrong[] = {"null", "-1", "[]", "{}", "\"\\u001b\"", "1.5"};
		char *name = strdup(key);

		json_object_get(member);
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			json_object_object_add(object, name, json_tokener_parse(wrong[i]));
			write_top(top);
			ck_assert_msg((is_tool && !strcmp(name, "name")) ||
					      read_back() == EXIT_CODE_DATA,
				      "%s: %s", name, wrong[i]);
		}
		json_object_object_add(object, name, member);
		if (json_object_is_type(member, json_type_object)) {
			spoil_members(top, member, !strcmp(name, "tool"));
		}
		free(name);
	}
}

START_TEST(every_member_is_checked)
{
	json_object *top;
	json_object *rows;
	size_t length;
	char *text;

	ck_assert_int_eq(counts_write_json(&made, path), EXIT_CODE_OK);
	text = slurp(path, &length);
	top = json_tokener_parse(text);
	free(text);
	ck_assert_ptr_nonnull(top);
	spoil_members(top, top, false);
	ck_assert(json_object_object_get_ex(top, "rows", &rows));
	spoil_members(top, json_object_array_get_idx(rows, 1), false);
	write_top(top);
	ck_assert_int_eq(read_back(), EXIT_CODE_OK);
	json_object_put(top);
}
END_TEST

START_TEST(mutations_never_crash)
{
	uint64_t random = 1;
	size_t length;
	char *text;
	char *spoiled;

	ck_assert_int_eq(counts_write_json(&made, path), EXIT_CODE_OK);
	text = slurp(path, &length);
	spoiled = malloc(length);
	ck_assert_ptr_nonnull(spoiled);
	for (int i = 0; i < MUTATIONS; i++) {
		memcpy(spoiled, text, length);
		for (int flips = 0; flips <= i % 4; flips++) {
			random = random * UINT64_C(6364136223846793005) + 1;
			spoiled[(random >> 20) % length] =
				i % 2 == 0 ? (char)(random >> 56)
					   : "{}[]\",:-0159eE.\\ "[(random >> 56) % 17];
		}
		spill(path, spoiled, i % 16 == 0 ? (random >> 30) % length : length);
		read_back();
	}
	free(spoiled);
	free(text);
}
END_TEST

START_TEST(table)
{
	FILE *full = fopen("/dev/full", "w");
	size_t length = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &length);

	ck_assert_ptr_nonnull(full);
	ck_assert_int_eq(counts_print_table(&made, full), EXIT_CODE_CANT_CREATE);
	fclose(full);
	ck_assert_int_eq(counts_print_table(&made, out), EXIT_CODE_OK);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "\n4-level\n"));
	ck_assert_ptr_nonnull(strstr(text, "\n5-level\n"));
	ck_assert_ptr_nonnull(strstr(text, "counted   exact"));
	ck_assert_ptr_nonnull(strstr(text, "12,345,678"));
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		ck_assert_uint_le(strlen(line), 100);
	}
	free(text);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("counts");
	Suite *suite = suite_create("counts");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, lines);
	tcase_add_test(tcase, round_trip);
	tcase_add_test(tcase, write_refuses_what_cannot_be_read);
	tcase_add_test(tcase, every_member_is_checked);
	tcase_add_test(tcase, mutations_never_crash);
	tcase_add_test(tcase, table);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

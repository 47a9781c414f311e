/* SPDX-License-Identifier: BSD-2-Clause */
/* Recorded traces: those that we ship, and all the ways in which one can be wrong. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "check_main.h"
#include "log.h"
#include "test_files.h"
#include "workload.h"

#define PAGE S2_PAGE_SIZE
#define RAM UINT64_C(0x80000000)
#define LEN (UINT64_C(256) << 20)
#define HEADER "t_us,op,gpa,pages,ret,dur_us,task,stack\n"

static const struct s2_range ram = {{RAM}, LEN};

/* What a trace asks for. */
struct total {
	size_t shares, unshares;
	uint64_t shared, unshared; /* pages */
	uint64_t places;	   /* a sum over gpa and pages in which the order counts */
};

static void add(struct total *total, bool share, uint64_t gpa, uint64_t pages)
{
	total->shares += share;
	total->unshares += !share;
	total->shared += share ? pages : 0;
	total->unshared += share ? 0 : pages;
	total->places = total->places * 31 + gpa + pages + share;
}

/* Counts a file in another way than the reader does: with sscanf, and no checks. */
static struct total count_file(const char *path)
{
	FILE *file = fopen(path, "re");
	struct total total = {0};
	char line[4096];

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file)) {
		uint64_t gpa, pages;
		char op[16];

		if (sscanf(line, "%*[0-9.],%15[A-Z],0x%" SCNx64 ",%" SCNu64 ",0,", op, &gpa,
			   &pages) == 3) {
			add(&total, strcmp(op, "SHARE") == 0, gpa, pages);
		}
	}
	fclose(file);
	return total;
}

static struct total count_read(const char *path)
{
	struct workload workload = {0};
	struct total total = {0};

	ck_assert_int_eq(trace_read(&workload, path, ram), 0);
	for (size_t i = 0; i < workload.count; i++) {
		const struct step *step = &workload.step[i];

		ck_assert(step->move == S2_SHARE || step->move == S2_UNSHARE);
		add(&total, step->move == S2_SHARE, step->range.start.val, step->range.len / PAGE);
	}
	workload_free(&workload);
	return total;
}

/* The counts are those of the recordings, and a second reading of the file agrees. */
START_TEST(shipped)
{
	static const struct {
		const char *name;
		size_t shares, unshares;
		uint64_t shared, unshared;
	} cases[] = {
		{"A_swiotlb_4096_1", 11, 1, 2171, 3},
		{"B_restricted_mem_8MiB", 8, 0, 2224, 0},
		{"C2_churn_pci_swiotlb_4096", 96, 80, 2364, 160},
		{"M1b_protected_mmio_2cpu_blk_rng_net_no_balloon", 19, 5, 2208, 15},
		{"M2_mmio_gicv3_no_ITS_1cpu_blk", 6, 2, 2092, 6},
		{"M4_restricted_16_mmio_blk_net", 8, 0, 4272, 0},
	};
	struct total counted, got;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.csv", getenv("STAGE2_TRACES"), cases[_i].name);
	counted = count_file(path);
	got = count_read(path);
	ck_assert_uint_eq(got.shares, cases[_i].shares);
	ck_assert_uint_eq(got.unshares, cases[_i].unshares);
	ck_assert_uint_eq(got.shared, cases[_i].shared);
	ck_assert_uint_eq(got.unshared, cases[_i].unshared);
	ck_assert_uint_eq(got.places, counted.places);
	ck_assert_uint_eq(got.shares + got.unshares, counted.shares + counted.unshares);
}
END_TEST

/* No trace is shipped that the test above does not know. */
START_TEST(all_known)
{
	DIR *dir = opendir(getenv("STAGE2_TRACES"));
	struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL) {
		count += strstr(entry->d_name, ".csv") != NULL;
	}
	closedir(dir);
	ck_assert_int_eq(count, 6);
}
END_TEST

START_TEST(accepted)
{
	static const char text[] =
		HEADER "0.0,SHARE,0x80200000,1,0,1.0,task,a b c\n"
		       "1.5,SHARE,0x8ffff000,1,0,1.0,task,\n"	/* the last page */
		       "2.0,SHARE,0x80300000,7,-22,1.0,task,\n" /* failed: left out */
		       "3,UNSHARE,2149580800,1,0,";		/* no newline */
	struct total total = count_read(test_file("trace", text, strlen(text)));

	ck_assert_uint_eq(total.shares, 2);
	ck_assert_uint_eq(total.shared, 2);
	ck_assert_uint_eq(total.unshares, 1);
	ck_assert_uint_eq(total.unshared, 1);
}
END_TEST

#define NUMBER "gpa or pages is not a number"
#define PAGES "gpa and pages are not whole pages"
#define OUTSIDE "not in the guest's RAM, or in its first 2 MiB: try more --memory"
#define FIELDS "fewer than six fields"
#define UNKNOWN "the operation is neither SHARE nor UNSHARE"

/* Each line stands third, behind one that is right. */
static const struct {
	const char *line;
	const char *said;
} malformed[] = {
	{"", FIELDS},
	{"1.0", FIELDS},
	{"1.0,SHARE,0x80400000,1,0", FIELDS},
	{"1.0,share,0x80400000,1,0,", UNKNOWN},
	{"1.0,,0x80400000,1,0,", UNKNOWN},
	{"1.0,DONATE,0x80400000,1,0,", UNKNOWN},
	{"1.0, SHARE,0x80400000,1,0,", UNKNOWN},
	{"1.0,SHAREX,0x80400000,1,0,", UNKNOWN},
	{"1.0,SHARE,,1,0,", NUMBER},
	{"1.0,SHARE,gpa,1,0,", NUMBER},
	{"1.0,SHARE,-2147483648,1,0,", NUMBER},
	{"1.0,SHARE, 0x80400000,1,0,", NUMBER},
	{"1.0,SHARE,0x80400000x,1,0,", NUMBER},
	{"1.0,SHARE,0x10000000000000000,1,0,", NUMBER},
	{"1.0,SHARE,0x80400000,,0,", NUMBER},
	{"1.0,SHARE,0x80400000,-1,0,", NUMBER},
	{"1.0,SHARE,0x80400000,0x1,0,", NUMBER},
	{"1.0,SHARE,0x80400000,1.5,0,", NUMBER},
	{"1.0,SHARE,0x80400000,4503599627370496,0,", NUMBER}, /* 2^64 bytes */
	{"1.0,SHARE,0x80400000,18446744073709551616,0,", NUMBER},
	{"1.0,SHARE,0x80400000,0,0,", PAGES},
	{"1.0,SHARE,0x80400001,1,0,", PAGES},
	{"1.0,SHARE,0x80400800,1,0,", PAGES},
	{"1.0,SHARE,0x80400000,4503599627370495,0,", OUTSIDE}, /* wraps */
	{"1.0,SHARE,0x80400000,65536,0,", OUTSIDE},
	{"1.0,SHARE,0x90000000,1,0,", OUTSIDE},
	{"1.0,SHARE,0x8ffff000,2,0,", OUTSIDE},
	{"1.0,SHARE,0x7ffff000,1,0,", OUTSIDE},
	{"1.0,SHARE,0x0,1,0,", OUTSIDE},
	{"1.0,SHARE,0xfffffffffffff000,1,0,", OUTSIDE},
	{"1.0,SHARE,0x80000000,1,0,", OUTSIDE},
	{"1.0,SHARE,0x801ff000,1,0,", OUTSIDE},
	{"1.0,SHARE,0x801ff000,2,0,", OUTSIDE},
	{"1.0,UNSHARE,0x801ff000,1,0,", OUTSIDE},
};

#define MALFORMED_COUNT (sizeof(malformed) / sizeof(malformed[0]))

static void expect_refused(const char *path, int code, const char *said)
{
	const struct workload_input input = {.ram = ram, .trace = path};
	struct workload workload;

	test_stderr_begin();
	ck_assert_int_eq(workload_make(&workload, "trace", &input), code);
	ck_assert_str_eq(test_stderr_end(), said);
	ck_assert_ptr_null(workload.step);
	ck_assert_uint_eq(workload.count, 0);
}

START_TEST(refused_line)
{
	char path[64], text[512], want[256];

	snprintf(text, sizeof(text), HEADER "0.0,SHARE,0x80200000,1,0,\n%s\n", malformed[_i].line);
	strcpy(path, test_file("trace", text, strlen(text)));
	snprintf(want, sizeof(want), "stage2: trace '%s' line 3: %s\n", path, malformed[_i].said);
	expect_refused(path, EXIT_CODE_DATA, want);
}
END_TEST

START_TEST(refused_file)
{
	static const struct {
		const char *text;
		const char *said;
	} cases[] = {
		{"", " has no requests"},
		{HEADER, " has no requests"},
		{"t_us,op,gpa,pages,ret,", " has no requests"},
		{HEADER "0.0,SHARE,0x80200000,1,-1,\n", " has no requests"},
		{"\n", " line 1: does not begin with t_us,op,gpa,pages,ret,"},
		{"0.0,SHARE,0x80200000,1,0,\n",
		 " line 1: does not begin with t_us,op,gpa,pages,ret,"},
		{"t_us,op,gpa,pages,ret\n", " line 1: does not begin with t_us,op,gpa,pages,ret,"},
		{"T_US,OP,GPA,PAGES,RET,\n", " line 1: does not begin with t_us,op,gpa,pages,ret,"},
		{HEADER HEADER, " line 2: the operation is neither SHARE nor UNSHARE"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[64], want[256];

		strcpy(path, test_file("trace", cases[i].text, strlen(cases[i].text)));
		snprintf(want, sizeof(want), "stage2: trace '%s'%s\n", path, cases[i].said);
		expect_refused(path, EXIT_CODE_DATA, want);
	}
}
END_TEST

START_TEST(overlong)
{
	static const char start[] = HEADER "0.0,SHARE,0x80200000,1,0,";
	static char text[20000];
	char path[64], want[256];
	size_t len = strlen(start);

	memcpy(text, start, len);
	memset(text + len, 'x', sizeof(text) - len - 1);
	text[sizeof(text) - 1] = '\n';
	strcpy(path, test_file("trace", text, sizeof(text)));
	snprintf(want, sizeof(want), "stage2: trace '%s' line 2: longer than 4095 bytes\n", path);
	expect_refused(path, EXIT_CODE_DATA, want);
	/* The longest line that fits: 4095 bytes, newline included. */
	text[strlen(HEADER) + 4094] = '\n';
	ck_assert_uint_eq(count_read(test_file("trace", text, strlen(HEADER) + 4095)).shares, 1);
	text[strlen(HEADER) + 4094] = 'x';
	text[strlen(HEADER) + 4095] = '\n';
	test_file("trace", text, strlen(HEADER) + 4096);
	expect_refused(path, EXIT_CODE_DATA, want);
	memset(text, 0, sizeof(text)); /* no text at all */
	test_file("trace", text, sizeof(text));
	snprintf(want, sizeof(want), "stage2: trace '%s' line 1: longer than 4095 bytes\n", path);
	expect_refused(path, EXIT_CODE_DATA, want);
}
END_TEST

START_TEST(no_input)
{
	static const struct {
		const char *name, *verb, *why;
	} cases[] = {
		{"missing", "open", "No such file or directory"},
		{".", "read", "Is a directory"},
	};

	for (size_t i = 0; i < 2; i++) {
		struct workload_input input = {.ram = ram, .trace = test_path(cases[i].name)};
		struct workload workload;
		char want[256];
		const char *said;

		snprintf(want, sizeof(want), "stage2: cannot %s trace '%s': %s", cases[i].verb,
			 input.trace, cases[i].why);
		test_stderr_begin();
		ck_assert_int_eq(workload_make(&workload, "trace", &input), EXIT_CODE_NO_INPUT);
		said = test_stderr_end();
		test_is_one_line(said);
		ck_assert_msg(strncmp(said, want, strlen(want)) == 0, "said: %s", said);
	}
}
END_TEST

/* A guest that is too small for a shipped trace says so, and names the line. */
START_TEST(small_guest)
{
	struct workload_input input = {.ram = {{RAM}, LEN / 2}};
	struct workload workload;
	char path[4096];

	snprintf(path, sizeof(path), "%s/A_swiotlb_4096_1.csv", getenv("STAGE2_TRACES"));
	input.trace = path;
	test_stderr_begin();
	ck_assert_int_eq(workload_make(&workload, "trace", &input), EXIT_CODE_DATA);
	ck_assert_ptr_nonnull(strstr(test_stderr_end(), "line 2: " OUTSIDE "\n"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("trace");
	TCase *tcase = tcase_create("trace");

	if (!getenv("STAGE2_TRACES")) {
		setenv("STAGE2_TRACES", "measure/traces", 0); /* by hand, from the top folder */
	}
	tcase_add_checked_fixture(tcase, test_folder_make, test_folder_remove);
	tcase_add_loop_test(tcase, shipped, 0, 6);
	tcase_add_test(tcase, all_known);
	tcase_add_test(tcase, accepted);
	tcase_add_loop_test(tcase, refused_line, 0, (int)MALFORMED_COUNT);
	tcase_add_test(tcase, refused_file);
	tcase_add_test(tcase, overlong);
	tcase_add_test(tcase, no_input);
	tcase_add_test(tcase, small_guest);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

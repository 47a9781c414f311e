/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest RAM and the folios behind it. What pagemap says is compared with what /proc/self/smaps says,
 * which the kernel counts in another way. Tests that need root say so and are skipped without it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_main.h"
#include "ram.h"

#define PAGE S2_PAGE_SIZE
#define M2 (UINT64_C(2) << 20)
#define RAM UINT64_C(0x80000000)
#define LEN (8 * M2)

static bool is_root;

/* The value of a line of /proc/self/smaps for the mapping that holds an address; "" if none. */
static const char *smaps(uint64_t hva, const char *name)
{
	static char line[512];
	FILE *file = fopen("/proc/self/smaps", "re");
	bool inside = false;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file)) {
		uint64_t start, end;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
			inside = hva >= start && hva < end;
		} else if (inside && !strncmp(line, name, strlen(name)) &&
			   line[strlen(name)] == ':') {
			fclose(file);
			return line + strlen(name) + 1;
		}
	}
	fclose(file);
	return "";
}

static int backing_file(uint64_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)len), 0);
	return fd;
}

/* A mapping of its own for each backing; the file is the test's. */
static void make(struct ram *ram, enum ram_backing backing, uint64_t len)
{
	const int fd = backing == RAM_FILE ? backing_file(len) : -1;

	ck_assert_int_eq(ram_init(ram, s2_gpa(RAM), len, backing, M2, fd), 0);
	if (fd >= 0) {
		close(fd);
	}
}

START_TEST(names)
{
	ck_assert_str_eq(ram_backing_name(RAM_ANON), "anon");
	ck_assert_str_eq(ram_backing_name(RAM_THP), "thp");
	ck_assert_str_eq(ram_backing_name(RAM_MEMFD), "memfd");
	ck_assert_str_eq(ram_backing_name(RAM_FILE), "file");
	ck_assert_str_eq(ram_backing_name(RAM_BACKING_COUNT), "unknown");
	ck_assert_uint_eq(ram_requested_lg2(RAM_ANON), 12);
	ck_assert_uint_eq(ram_requested_lg2(RAM_MEMFD), 12);
	ck_assert_uint_ge(ram_requested_lg2(RAM_THP), 12);
	ck_assert_uint_le(ram_requested_lg2(RAM_THP), 30);
}
END_TEST

/* KVM maps a large leaf only where gpa and hva have the same offset within it. */
START_TEST(congruence)
{
	static const uint64_t leaf[] = {PAGE, 16 * PAGE, M2, 16 * M2, UINT64_C(1) << 30};
	static const uint64_t gpa[] = {
		0, PAGE, RAM, RAM + PAGE, RAM + M2 - PAGE, 0x7fff3000, UINT64_C(1) << 40};

	for (size_t i = 0; i < 5 * 7 * RAM_FILE; i++) {
		const uint64_t size = leaf[i % 5];
		const enum ram_backing backing = (enum ram_backing)(i / 35);
		struct ram ram;

		ck_assert_int_eq(
			ram_init(&ram, s2_gpa(gpa[i / 5 % 7]), M2 + PAGE, backing, size, -1), 0);
		ck_assert_uint_eq((ram.hva.val ^ ram.gpa.val) & (size - 1), 0);
		ck_assert_uint_eq(ram.hva.val % PAGE, 0);
		ck_assert_uint_eq(ram.leaf_max, size);
		ck_assert_int_eq(ram.backing, backing);
		/* Every byte is mapped, and the reservation holds it all. */
		ck_assert_uint_ge(ram.hva.val, (uintptr_t)ram.reserved);
		ck_assert_uint_le(ram.hva.val + ram.len,
				  (uintptr_t)ram.reserved + ram.reserved_len);
		*(uint8_t *)ram_hva(&ram, ram.gpa) = 1;
		*(uint8_t *)ram_hva(&ram, s2_gpa(ram.gpa.val + ram.len - 1)) = 2;
		ram_fini(&ram);
		ck_assert_ptr_null(ram.reserved);
	}
}
END_TEST

START_TEST(refused)
{
	struct ram ram;

	ck_assert_int_eq(ram_init(&ram, s2_gpa(RAM), UINT64_MAX - M2 + 1, RAM_ANON, M2, -1),
			 -ENOMEM);
	ck_assert_int_eq(ram_init(&ram, s2_gpa(RAM), UINT64_C(1) << 62, RAM_ANON, M2, -1), -ENOMEM);
	/* A descriptor that cannot be mapped. */
	ck_assert_int_lt(ram_init(&ram, s2_gpa(RAM), M2, RAM_FILE, M2, STDIN_FILENO + 1000), 0);
	ck_assert_ptr_null(ram.reserved);
	ram_fini(&ram); /* not owed, not harmful */
}
END_TEST

/* Neither a core dump nor fork() may make the kernel touch a protected guest's pages. */
START_TEST(left_out)
{
	struct ram ram;
	const char *flags;

	make(&ram, (enum ram_backing)_i, LEN);
	flags = smaps(ram.hva.val, "VmFlags");
	ck_assert_msg(strstr(flags, " dd"), "dumped: %s", flags);
	ck_assert_msg(strstr(flags, " dc"), "inherited: %s", flags);
	if (_i == RAM_THP && *smaps(ram.hva.val, "THPeligible")) {
		ck_assert_msg(strstr(smaps(ram.hva.val, "VmFlags"), " hg"), "no THP asked for");
	}
	if (_i == RAM_ANON && access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0) {
		ck_assert_msg(strstr(smaps(ram.hva.val, "VmFlags"), " nh"), "THP not ruled out");
	}
	ram_fini(&ram);
}
END_TEST

START_TEST(populate)
{
	unsigned char present[LEN / PAGE];
	struct ram ram;

	make(&ram, (enum ram_backing)_i, LEN);
	ck_assert_int_eq(atoi(smaps(ram.hva.val, "Rss")), 0); /* nothing before */
	ck_assert_int_eq(ram_populate(&ram), 0);
	ck_assert_int_eq(mincore((void *)(uintptr_t)ram.hva.val, LEN, present), 0);
	for (size_t i = 0; i < LEN / PAGE; i++) {
		ck_assert(present[i] & 1);
	}
	ck_assert_int_eq(atoi(smaps(ram.hva.val, "Rss")), LEN / 1024);
	ram_fini(&ram);
}
END_TEST

/* A file that is too short is an error and no signal. */
START_TEST(short_file)
{
	const int fd = backing_file(M2);
	struct ram ram;

	ck_assert_int_eq(ram_init(&ram, s2_gpa(RAM), 2 * M2, RAM_FILE, M2, fd), 0);
	ck_assert_int_lt(ram_populate(&ram), 0);
	ram_fini(&ram);
	close(fd);
}
END_TEST

/* Checks what must hold for any answer; returns the bytes of all runs. */
static uint64_t check_runs(const struct ram *ram)
{
	uint64_t next = ram->gpa.val, bytes = 0;

	for (size_t i = 0; i < ram->run_count; i++) {
		const struct s2_run *run = &ram->run[i];

		ck_assert_int_eq(s2_run_check(run), S2_OK);
		ck_assert(ram_contains(ram, run->gpa, run->len));
		ck_assert_uint_ge(run->gpa.val, next); /* sorted, no overlap */
		ck_assert(i == 0 || !s2_run_can_merge(run - 1, run));
		next = run->gpa.val + run->len;
		bytes += run->len;
	}
	return bytes;
}

static void expect_sums(const struct ram *ram, uint64_t bytes)
{
	uint64_t out[64], sum = 0;

	memset(out, 0xff, sizeof(out));
	ram_count_folios(ram, out);
	for (unsigned int lg2 = 0; lg2 < 64; lg2++) {
		ck_assert(lg2 >= 12 || out[lg2] == 0);
		sum += out[lg2];
	}
	ck_assert_uint_eq(sum, bytes);
}

START_TEST(runs)
{
	struct s2_run *first;
	struct ram ram;
	size_t count;

	make(&ram, (enum ram_backing)_i, LEN);
	ck_assert_int_eq(ram_find_runs(&ram), 0);
	ck_assert_uint_eq(ram.run_count, 0);
	ck_assert_int_eq(ram_populate(&ram), 0);
	mlock((void *)(uintptr_t)ram.hva.val, LEN); /* stays where it is; a wish */
	ck_assert_int_eq(ram_find_runs(&ram), 0);
	ck_assert_uint_eq(check_runs(&ram), LEN);
	expect_sums(&ram, LEN);
	for (size_t i = 0; _i == RAM_ANON && i < ram.run_count; i++) {
		ck_assert_uint_eq(ram.run[i].folio_order, 0); /* MADV_NOHUGEPAGE */
	}
	/* Asked again: the same answer, in place of the old. */
	count = ram.run_count;
	first = malloc(count * sizeof(*first));
	ck_assert_ptr_nonnull(first);
	memcpy(first, ram.run, count * sizeof(*first));
	ck_assert_int_eq(ram_find_runs(&ram), 0);
	ck_assert_uint_eq(ram.run_count, count);
	for (size_t i = 0; i < count; i++) {
		ck_assert(first[i].gpa.val == ram.run[i].gpa.val &&
			  first[i].hpa.val == ram.run[i].hpa.val &&
			  first[i].len == ram.run[i].len &&
			  first[i].folio_order == ram.run[i].folio_order);
	}
	free(first);
	ram_fini(&ram);
}
END_TEST

/* No two pages of RAM lie in one frame. */
START_TEST(frames_differ)
{
	struct ram ram;

	make(&ram, RAM_ANON, M2);
	ck_assert_int_eq(ram_populate(&ram), 0);
	ck_assert_int_eq(ram_find_runs(&ram), 0);
	for (size_t i = 0; i < ram.run_count; i++) {
		for (size_t k = 0; k < i; k++) {
			const struct s2_run *a = &ram.run[i], *b = &ram.run[k];

			ck_assert(a->hpa.val + a->len <= b->hpa.val ||
				  b->hpa.val + b->len <= a->hpa.val);
		}
	}
	ram_fini(&ram);
}
END_TEST

/* Every third page is touched: those are in runs, the others are in none. */
START_TEST(runs_sparse)
{
	struct ram ram;

	make(&ram, (enum ram_backing)_i, M2);
	for (uint64_t i = 0; i < M2 / PAGE; i += 3) {
		*(uint8_t *)ram_hva(&ram, s2_gpa(RAM + i * PAGE)) = 1;
	}
	ck_assert_int_eq(ram_find_runs(&ram), 0);
	check_runs(&ram);
	for (uint64_t i = 0; i < M2 / PAGE; i++) {
		const s2_gpa_t gpa = s2_gpa(RAM + i * PAGE);
		const bool found = s2_runs_find(ram.run, ram.run_count, gpa) != NULL;

		if (i % 3 == 0) {
			ck_assert_msg(found, "page %u", (unsigned)i);
		} else if (_i == RAM_ANON) {
			ck_assert_msg(!found, "page %u", (unsigned)i);
		}
	}
	ram_fini(&ram);
}
END_TEST

/* Memory that was only read is the kernel's page of zeros: nobody's folio. */
START_TEST(runs_zero_page)
{
	struct ram ram;

	make(&ram, RAM_ANON, M2);
	for (uint64_t i = 0; i < M2 / PAGE; i++) {
		ck_assert_uint_eq(*(volatile uint8_t *)ram_hva(&ram, s2_gpa(RAM + i * PAGE)), 0);
	}
	*(uint8_t *)ram_hva(&ram, s2_gpa(RAM + 5 * PAGE)) = 1;
	ck_assert_int_eq(ram_find_runs(&ram), 0);
	ck_assert_uint_eq(ram.run_count, 1);
	ck_assert_uint_eq(ram.run[0].gpa.val, RAM + 5 * PAGE);
	ck_assert_uint_eq(ram.run[0].len, PAGE);
	ram_fini(&ram);
}
END_TEST

/* smaps counts the bytes that are mapped by whole PMDs: there the folio is at least that large. */
START_TEST(thp_agrees)
{
	const unsigned int lg2 = ram_requested_lg2(RAM_THP);
	uint64_t huge, large = 0, out[64];
	struct ram ram;

	make(&ram, RAM_THP, 16 * M2);
	ck_assert_int_eq(ram_populate(&ram), 0);
	ck_assert_int_eq(ram_find_runs(&ram), 0);
	ck_assert_uint_eq(check_runs(&ram), 16 * M2);
	huge = strtoull(smaps(ram.hva.val, "AnonHugePages"), NULL, 10) << 10;
	ram_count_folios(&ram, out);
	for (unsigned int i = lg2; i < 64; i++) {
		large += out[i];
	}
	ck_assert_uint_ge(large, huge);
	for (size_t i = 0; i < ram.run_count; i++) {
		if (ram.run[i].folio_order + 12u >= lg2) {
			ck_assert_uint_ge(ram.run[i].len, PAGE);
			/* gpa, hva and hpa are congruent: a leaf of that size is possible. */
			ck_assert_uint_eq((ram.run[i].gpa.val ^ ram.run[i].hpa.val) & (M2 - 1), 0);
		}
	}
	printf("# thp: %" PRIu64 " KiB by smaps, %" PRIu64 " KiB in large folios\n", huge >> 10,
	       large >> 10);
	fflush(stdout);
	ram_fini(&ram);
}
END_TEST

/* In a child without privileges: its exit status is the error. */
static int unprivileged_error(bool populated)
{
	int status;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		struct ram ram;
		int err;

		if (is_root && setuid(65534)) {
			_exit(100);
		}
		if (ram_init(&ram, s2_gpa(RAM), M2, RAM_ANON, M2, -1) ||
		    (populated && ram_populate(&ram))) {
			_exit(101);
		}
		err = ram_find_runs(&ram);
		_exit(ram.run || ram.run_count ? 102 : -err);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(unprivileged)
{
	ck_assert_int_eq(unprivileged_error(true), EPERM);
	ck_assert_int_eq(unprivileged_error(false), EPERM);
}
END_TEST

/* Sums of made-up runs: no privileges needed. */
START_TEST(folio_sums)
{
	struct s2_run made[] = {
		{s2_gpa(0), s2_hpa(0), PAGE, 0},
		{s2_gpa(M2), s2_hpa(M2), M2, 9},
		{s2_gpa(2 * M2), s2_hpa(4 * M2), M2 / 2, 9},
		{s2_gpa(8 * M2), s2_hpa(8 * M2), PAGE, S2_FOLIO_ORDER_MAX},
		{s2_gpa(9 * M2), s2_hpa(1 << 20), PAGE, 0},
	};
	struct ram ram = {.run = made, .run_count = 5};
	uint64_t out[64];

	memset(out, 0xff, sizeof(out));
	ram_count_folios(&ram, out);
	for (unsigned int i = 0; i < 64; i++) {
		const uint64_t want = i == 12			     ? 2 * PAGE
				      : i == 21			     ? M2 + M2 / 2
				      : i == 12 + S2_FOLIO_ORDER_MAX ? PAGE
								     : 0;
		ck_assert_uint_eq(out[i], want);
	}
	ram.run_count = 0;
	expect_sums(&ram, 0);
}
END_TEST

static bool thp_is_off(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char text[64] = "[never]";

	if (file) {
		if (!fgets(text, sizeof(text), file)) {
			text[0] = '\0';
		}
		fclose(file);
	}
	return strstr(text, "[never]") != NULL;
}

/* Check cannot skip: what is not run is said as a TAP remark. */
static void skip(const char *name, const char *why)
{
	printf("# SKIP %s: %s\n", name, why);
	fflush(stdout);
}

static void add_root_tests(TCase *tcase)
{
	const int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);

	close(fd);
	if (!is_root || fd < 0) {
		skip("runs, frames_differ, runs_sparse, runs_zero_page, thp_agrees",
		     "frame numbers need root and /proc/kpageflags");
		return;
	}
	tcase_add_loop_test(tcase, runs, 0, RAM_BACKING_COUNT);
	tcase_add_test(tcase, frames_differ);
	tcase_add_test(tcase, runs_zero_page);
	tcase_add_loop_test(tcase, runs_sparse, 0, RAM_BACKING_COUNT);
	if (thp_is_off()) {
		skip("thp_agrees", "transparent huge pages are 'never' on this host");
	} else {
		tcase_add_test(tcase, thp_agrees);
	}
}

int main(void)
{
	Suite *suite = suite_create("ram");
	TCase *tcase = tcase_create("ram");

	is_root = geteuid() == 0;
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, names);
	tcase_add_test(tcase, congruence);
	tcase_add_test(tcase, refused);
	tcase_add_loop_test(tcase, left_out, 0, RAM_BACKING_COUNT);
	tcase_add_loop_test(tcase, populate, 0, RAM_BACKING_COUNT);
	tcase_add_test(tcase, short_file);
	tcase_add_test(tcase, unprivileged);
	tcase_add_test(tcase, folio_sums);
	add_root_tests(tcase);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

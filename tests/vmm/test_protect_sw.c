/* SPDX-License-Identifier: BSD-2-Clause */
/* Private memory: what is where after each conversion, and after each call of the kernel that fails. */
#include "check_main.h"
#include "fake_kvm.h"
#include "guard.h"
#include "test_files.h"

#define PAGE S2_PAGE_SIZE

static struct vm vm;
static struct memory *const memory = &vm.memory;

static void setup_on(enum ram_backing backing)
{
	ck_assert_int_eq(guard_init(), 0);
	fake_create(&vm, backing);
	/* An image of three pages, the last of them not full. */
	memset(memory_load(memory, s2_gpa(2 * PAGE), 2 * PAGE + 10), 0x5a, 2 * PAGE + 10);
	ck_assert_int_eq(memory_start(memory), S2_OK);
	ck_assert_int_eq(protect_sw.start(&vm), 0);
}

static void setup(void)
{
	setup_on(RAM_ANON);
}

static void teardown(void)
{
	fake_destroy(&vm);
}

static struct s2_range pages(uint64_t first, uint64_t count)
{
	return s2_range(s2_gpa(first * PAGE), count * PAGE);
}

/* Every page that is at rest is where the tracker says, and nowhere else; returns how many are not at rest. */
static unsigned int check_pages(void)
{
	unsigned int moving = 0;

	for (uint64_t i = 0; i < FAKE_PAGES; i++) {
		const struct s2_page page = memory_page(memory, s2_gpa(i * PAGE));
		uint64_t value;

		if (page.moving) {
			ck_assert_int_eq(page.state, S2_SECURE);
			moving++;
			continue;
		}
		ck_assert_msg(fake.is_private[i] == (page.state == S2_SECURE), "page %lu",
			      (unsigned long)i);
		if (page.state == S2_SECURE) {
			ck_assert_msg(!fake_has_shared(&vm, i), "page %lu", (unsigned long)i);
			ck_assert(!memory_probe(memory, s2_gpa(i * PAGE), &value));
		} else {
			ck_assert_int_eq(page.state, S2_SHARED);
			ck_assert_msg(!fake_has_private(i), "page %lu", (unsigned long)i);
			ck_assert(memory_probe(memory, s2_gpa(i * PAGE), &value));
		}
	}
	return moving;
}

/* What was loaded starts shared, with its bytes; all else is private and empty. */
START_TEST(start)
{
	uint64_t value;

	for (uint64_t i = 0; i < FAKE_PAGES; i++) {
		const bool image = i >= 2 && i < 5;

		ck_assert_int_eq(memory_page(memory, s2_gpa(i * PAGE)).state,
				 image ? S2_SHARED : S2_SECURE);
	}
	ck_assert_uint_eq(check_pages(), 0);
	ck_assert_int_eq(memory_read(memory, s2_gpa(4 * PAGE), &value, sizeof(value)), MEMORY_OK);
	ck_assert_uint_eq(value, UINT64_C(0x5a5a5a5a5a5a5a5a));
	ck_assert_uint_eq(fake.attributes, 2); /* one call for each stretch that is not the image */
}
END_TEST

/* There and back at several grains: one call of KVM for a range, neighbours keep what they hold. */
static void there_and_back(enum ram_backing backing)
{
	static const uint64_t grain[] = {1, 16, 32};

	teardown();
	setup_on(backing);
	for (size_t i = 0; i < sizeof(grain) / sizeof(*grain); i++) {
		const uint64_t first = 16, count = grain[i];
		uint64_t attributes;

		fake_guest_write(&vm, first - 1, 11);
		fake_guest_write(&vm, first, 12);
		fake_guest_write(&vm, first + count, 13);
		attributes = fake.attributes;
		ck_assert_int_eq(memory_guest_share(memory, pages(first, count)), MEMORY_OK);
		ck_assert_uint_eq(fake.attributes, attributes + 1);
		ck_assert_uint_eq(check_pages(), 0);
		ck_assert_uint_eq(fake_guest_read(&vm, first), 0);
		fake_guest_write(&vm, first, 14);
		ck_assert_uint_eq(check_pages(), 0);
		ck_assert_int_eq(memory_guest_unshare(memory, pages(first, count)), MEMORY_OK);
		ck_assert_uint_eq(fake.attributes, attributes + 2);
		ck_assert_uint_eq(check_pages(), 0);
		ck_assert_uint_eq(fake_guest_read(&vm, first), 0);
		ck_assert_uint_eq(fake_guest_read(&vm, first - 1), 11);
		ck_assert_uint_eq(fake_guest_read(&vm, first + count), 13);
	}
}

START_TEST(convert)
{
	there_and_back(RAM_ANON);
	there_and_back(RAM_THP);
	there_and_back(RAM_MEMFD);
}
END_TEST

static struct s2_range watched;

/* In every call of the kernel: what is being converted counts as secure, and the guest's own is not there. */
static void watch(void)
{
	for (uint64_t at = watched.start.val; at < watched.start.val + watched.len; at += PAGE) {
		struct s2_page page;
		uint64_t value = 0;

		ck_assert_int_eq(s2_track_get(&memory->track, s2_gpa(at), &page), S2_OK);
		ck_assert(page.moving && page.state == S2_SECURE);
		(void)!guard_read(&value, ram_hva(&memory->ram, s2_gpa(at)), sizeof(value));
		ck_assert_uint_ne(value, 77);
	}
}

START_TEST(host_sees_nothing_between)
{
	watched = pages(20, 4);
	fake_guest_write(&vm, 21, 77);
	fake.watch = watch;
	ck_assert_int_eq(memory_guest_share(memory, watched), MEMORY_OK);
	fake.watch = NULL;
	fake_guest_write(&vm, 21, 78);
	fake.watch = watch;
	ck_assert_int_eq(memory_guest_unshare(memory, watched), MEMORY_OK);
	fake.watch = NULL;
	ck_assert_uint_eq(check_pages(), 0);
}
END_TEST

static enum memory_err move(bool share, struct s2_range range)
{
	return share ? memory_guest_share(memory, range) : memory_guest_unshare(memory, range);
}

/* One call fails, once: all is done, or nothing is and nothing is lost. */
static void fail_once(bool share, unsigned int n)
{
	const struct s2_range range = pages(24, 8);
	enum memory_err err;

	if (!share) {
		ck_assert_int_eq(memory_guest_share(memory, range), MEMORY_OK);
	}
	fake_guest_write(&vm, 25, 99);
	fake_arm(n, n);
	err = move(share, range);
	fake_arm(0, 0);
	ck_assert_int_eq(memory->job.phase, S2_JOB_IDLE);
	ck_assert_uint_eq(check_pages(), 0);
	ck_assert_uint_eq(fake_guest_read(&vm, 25), err ? 99 : 0);
	if (err) {
		ck_assert_int_eq(err, MEMORY_STATE);
		ck_assert_int_eq(move(share, range), MEMORY_OK);
	}
	ck_assert_uint_eq(check_pages(), 0);
	if (share) {
		ck_assert_int_eq(memory_guest_unshare(memory, range), MEMORY_OK);
	}
}

/* Calls that a conversion makes when nothing fails. */
static unsigned int count_calls(bool share)
{
	unsigned int calls;

	fake_arm(0, 0);
	ck_assert_int_eq(move(share, pages(24, 8)), MEMORY_OK);
	calls = fake.calls;
	ck_assert_int_eq(move(!share, pages(24, 8)), MEMORY_OK);
	return calls;
}

START_TEST(one_call_fails)
{
	const unsigned int to_shared = count_calls(true);

	ck_assert_uint_eq(to_shared, 4);
	for (unsigned int n = 1; n <= to_shared; n++) {
		fail_once(true, n);
	}
	ck_assert_int_eq(memory_guest_share(memory, pages(24, 8)), MEMORY_OK);
	ck_assert_uint_eq(count_calls(false), 5);
	ck_assert_int_eq(memory_guest_unshare(memory, pages(24, 8)), MEMORY_OK);
	for (unsigned int n = 1; n <= 5; n++) {
		fail_once(false, n);
	}
}
END_TEST

/* From one call on all fail: what is half done counts as secure, and is finished by the next conversion. */
START_TEST(all_calls_fail)
{
	unsigned int waiting = 0;

	for (int turn = 0; turn < 10; turn++) {
		const bool share = turn < 5;
		const unsigned int n = (unsigned int)turn % 5 + 1;
		uint64_t value;

		if (!share) {
			ck_assert_int_eq(memory_guest_share(memory, pages(24, 8)), MEMORY_OK);
		}
		fake_arm(n, ~0U);
		(void)!move(share, pages(24, 8));
		/* Nor can anything else be converted as long as it is so. */
		if (memory->job.phase != S2_JOB_IDLE) {
			waiting++;
			ck_assert_uint_eq(check_pages(), 8);
			test_stderr_begin();
			ck_assert_int_eq(memory_read(memory, s2_gpa(25 * PAGE), &value, 8),
					 MEMORY_SECURE);
			test_stderr_end();
			ck_assert_int_ne(memory_guest_share(memory, pages(50, 1)), MEMORY_OK);
		}
		fake_arm(0, 0);
		ck_assert_int_eq(memory_guest_share(memory, pages(50, 1)), MEMORY_OK);
		ck_assert_int_eq(memory_guest_unshare(memory, pages(50, 1)), MEMORY_OK);
		ck_assert_int_eq(memory->job.phase, S2_JOB_IDLE);
		ck_assert_uint_eq(check_pages(), 0);
		if (memory_page(memory, s2_gpa(24 * PAGE)).state == S2_SHARED) {
			ck_assert_int_eq(memory_guest_unshare(memory, pages(24, 8)), MEMORY_OK);
		}
	}
	ck_assert_uint_ge(waiting, 3);
}
END_TEST

START_TEST(refused)
{
	const uint64_t attributes = fake.attributes;

	ck_assert_int_eq(memory_guest_share(memory, pages(FAKE_PAGES - 1, 2)), MEMORY_OUTSIDE);
	ck_assert_int_eq(memory_guest_share(memory, pages(FAKE_PAGES, 1)), MEMORY_OUTSIDE);
	ck_assert_int_eq(memory_guest_share(memory, s2_range(s2_gpa(100), PAGE)), MEMORY_STATE);
	ck_assert_int_eq(memory_guest_share(memory, s2_range(s2_gpa(8 * PAGE), 0)), MEMORY_STATE);
	ck_assert_uint_eq(fake.attributes, attributes);
	ck_assert_uint_eq(check_pages(), 0);
}
END_TEST

/* KVM says how the guest used a page: that is what it becomes; what it is already cannot be mended. */
START_TEST(implicit)
{
	fake_guest_write(&vm, 30, 5);
	ck_assert_int_eq(protect_sw.guest_fault(memory, pages(30, 1), false), MEMORY_OK);
	ck_assert_int_eq(memory_page(memory, s2_gpa(30 * PAGE)).state, S2_SHARED);
	ck_assert_uint_eq(fake_guest_read(&vm, 30), 0);
	ck_assert_uint_eq(check_pages(), 0);
	ck_assert_int_eq(protect_sw.guest_fault(memory, pages(30, 1), false), MEMORY_STATE);
	ck_assert_int_eq(protect_sw.guest_fault(memory, pages(30, 1), true), MEMORY_OK);
	ck_assert_int_eq(memory_page(memory, s2_gpa(30 * PAGE)).state, S2_SECURE);
	ck_assert_int_eq(protect_sw.guest_fault(memory, pages(30, 1), true), MEMORY_STATE);
	ck_assert_int_ne(protect_sw.guest_fault(memory, pages(FAKE_PAGES, 1), true), MEMORY_OK);
	ck_assert_uint_eq(check_pages(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("protect_sw");
	TCase *tcase = tcase_create("protect_sw");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, start);
	tcase_add_test(tcase, convert);
	tcase_add_test(tcase, host_sees_nothing_between);
	tcase_add_test(tcase, one_call_fails);
	tcase_add_test(tcase, all_calls_fail);
	tcase_add_test(tcase, refused);
	tcase_add_test(tcase, implicit);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

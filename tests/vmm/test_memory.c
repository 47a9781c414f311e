/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may touch guest memory, on plain anonymous RAM. Where the tracker and the MMU are to disagree,
 * mprotect() stands in for a hypervisor that took the page away.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "check_main.h"
#include "guard.h"
#include "protect.h"
#include "test_files.h"

#define PAGE S2_PAGE_SIZE
#define RAM UINT64_C(0x80000000)
#define LEN (16 * PAGE)

static struct memory memory;

static void setup_kind(const struct protect_ops *ops)
{
	struct ram ram;

	ck_assert_int_eq(guard_init(), 0);
	ck_assert_int_eq(ram_init(&ram, s2_gpa(RAM), LEN, RAM_ANON, PAGE, -1), 0);
	ck_assert_int_eq(memory_init(&memory, ops, &ram, true), S2_OK);
}

static void setup(void)
{
	setup_kind(&protect_pkvm);
}

static void teardown(void)
{
	memory_fini(&memory);
}

static s2_gpa_t page(uint64_t index)
{
	return s2_gpa(RAM + index * PAGE);
}

/* The guest moves the page that holds gpa. */
static enum memory_err share_page(struct memory *of, s2_gpa_t gpa)
{
	return memory_guest_share(of, s2_range(s2_gpa(gpa.val & ~(PAGE - 1)), PAGE));
}

static enum memory_err unshare_page(struct memory *of, s2_gpa_t gpa)
{
	return memory_guest_unshare(of, s2_range(s2_gpa(gpa.val & ~(PAGE - 1)), PAGE));
}

/* Sets the rights of a page of ours behind the tracker's back. */
static void protect(uint64_t index, int rights)
{
	ck_assert_int_eq(mprotect(ram_hva(&memory.ram, page(index)), PAGE, rights), 0);
}

/* Reads or writes, and expects this answer and this line. */
static void expect_access(s2_gpa_t gpa, size_t len, bool write, enum memory_err err,
			  const char *said)
{
	uint8_t buffer[3 * PAGE] = {0};
	enum memory_err got;

	test_stderr_begin();
	got = write ? memory_write(&memory, gpa, buffer, len)
		    : memory_read(&memory, gpa, buffer, len);
	ck_assert_str_eq(test_stderr_end(), said);
	ck_assert_int_eq(got, err);
}

START_TEST(load)
{
	static const struct {
		uint64_t gpa, len;
		bool good;
	} cases[] = {
		{RAM, LEN, true},
		{RAM, 1, true},
		{RAM + LEN - 1, 1, true},
		{RAM + LEN, 0, true}, /* nothing, right behind the end: inside by ram.h */
		{RAM + LEN, 1, false},
		{RAM, LEN + 1, false},
		{RAM + 1, LEN, false},
		{RAM - 1, 1, false},
		{RAM - 1, 2, false},
		{RAM, UINT64_MAX, false},
		{RAM + PAGE, 0 - RAM - PAGE, false}, /* to the top of all addresses */
		{RAM + PAGE, 0 - PAGE, false},	     /* wraps back to the start of RAM */
		{UINT64_MAX, 2, false},
		{0, 1, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const s2_gpa_t gpa = s2_gpa(cases[i].gpa);
		void *to = memory_load(&memory, gpa, cases[i].len);

		ck_assert_msg(!!to == cases[i].good, "case %zu", i);
		if (to) {
			ck_assert_ptr_eq(to, ram_hva(&memory.ram, gpa));
		}
	}
	memset(memory_load(&memory, s2_gpa(RAM), LEN), 0x5a, LEN);
}
END_TEST

START_TEST(start)
{
	const struct protect_ops *const kinds[] = {&protect_none, &protect_pkvm};

	for (size_t kind = 0; kind < 2; kind++) {
		const enum s2_state state = kinds[kind]->secret ? S2_SECURE : S2_SHARED;

		teardown();
		setup_kind(kinds[kind]);
		ck_assert_int_eq(memory_page(&memory, page(0)).state, S2_NONE);
		ck_assert_int_eq(memory_start(&memory), S2_OK);
		ck_assert_ptr_null(memory_load(&memory, s2_gpa(RAM), 1));
		for (uint64_t i = 0; i < LEN / PAGE; i++) {
			ck_assert_int_eq(memory_page(&memory, page(i)).state, state);
		}
		/* A second start fails, and does not give the memory back to the loader. */
		ck_assert_int_ne(memory_start(&memory), S2_OK);
		ck_assert_ptr_null(memory_load(&memory, s2_gpa(RAM), 1));
	}
}
END_TEST

/* Before the start nothing is the guest's, so the guest cannot have shared it. */
START_TEST(before_start)
{
	ck_assert_int_eq(share_page(&memory, page(0)), MEMORY_STATE);
	ck_assert_int_eq(unshare_page(&memory, page(0)), MEMORY_STATE);
	expect_access(page(0), 8, false, MEMORY_SECURE,
		      "stage2: gpa 0x80000000 is secure: the host may not read it\n");
}
END_TEST

START_TEST(moves)
{
	ck_assert_int_eq(memory_start(&memory), S2_OK);
	ck_assert_int_eq(unshare_page(&memory, page(3)), MEMORY_STATE);
	ck_assert_int_eq(share_page(&memory, page(3)), MEMORY_OK);
	ck_assert_int_eq(memory_page(&memory, page(3)).state, S2_SHARED);
	ck_assert(!memory_page(&memory, page(3)).widened);
	ck_assert_int_eq(share_page(&memory, page(3)), MEMORY_STATE);
	ck_assert_int_eq(memory_page(&memory, page(3)).state, S2_SHARED);
	ck_assert_int_eq(memory_page(&memory, page(2)).state, S2_SECURE);
	ck_assert_int_eq(memory_page(&memory, page(4)).state, S2_SECURE);
	/* Any byte of a page stands for the page. */
	ck_assert_int_eq(unshare_page(&memory, s2_gpa(page(4).val - 1)), MEMORY_OK);
	ck_assert_int_eq(memory_page(&memory, page(3)).state, S2_SECURE);
	ck_assert_int_eq(unshare_page(&memory, page(3)), MEMORY_STATE);
	/* What is not RAM. */
	ck_assert_int_eq(share_page(&memory, s2_gpa(RAM - 1)), MEMORY_OUTSIDE);
	ck_assert_int_eq(share_page(&memory, s2_gpa(RAM + LEN)), MEMORY_OUTSIDE);
	ck_assert_int_eq(unshare_page(&memory, s2_gpa(0)), MEMORY_OUTSIDE);
	ck_assert_int_eq(unshare_page(&memory, s2_gpa(UINT64_MAX)), MEMORY_OUTSIDE);
	ck_assert_int_eq(memory_page(&memory, s2_gpa(RAM + LEN)).state, S2_NONE);
	ck_assert_int_eq(memory_page(&memory, s2_gpa(UINT64_MAX)).state, S2_NONE);
	ck_assert(s2_track_check(&memory.track));
}
END_TEST

START_TEST(access_shared)
{
	uint8_t out[2 * PAGE], in[2 * PAGE];

	for (size_t i = 0; i < sizeof(out); i++) {
		out[i] = (uint8_t)(i * 31 + 7);
	}
	ck_assert_int_eq(memory_start(&memory), S2_OK);
	for (uint64_t i = 4; i < 7; i++) {
		ck_assert_int_eq(share_page(&memory, page(i)), MEMORY_OK);
	}
	/* Across a page end, and not on a page boundary. */
	ck_assert_int_eq(memory_write(&memory, s2_gpa(page(4).val + 5), out, sizeof(out)),
			 MEMORY_OK);
	ck_assert_int_eq(memory_read(&memory, s2_gpa(page(4).val + 5), in, sizeof(in)), MEMORY_OK);
	ck_assert_mem_eq(in, out, sizeof(in));
	ck_assert_mem_eq((uint8_t *)ram_hva(&memory.ram, page(4)) + 5, out, sizeof(out));
	ck_assert_int_eq(*(uint8_t *)ram_hva(&memory.ram, s2_gpa(page(4).val + 4)), 0);
	ck_assert_int_eq(*(uint8_t *)ram_hva(&memory.ram, s2_gpa(page(6).val + 5)), 0);
	ck_assert_int_eq(memory_read(&memory, page(7), in, 0), MEMORY_OK);
}
END_TEST

START_TEST(access_secure)
{
	ck_assert_int_eq(memory_start(&memory), S2_OK);
	ck_assert_int_eq(share_page(&memory, page(4)), MEMORY_OK);
	ck_assert_int_eq(share_page(&memory, page(6)), MEMORY_OK);
	expect_access(page(5), 8, false, MEMORY_SECURE,
		      "stage2: gpa 0x80005000 is secure: the host may not read it\n");
	expect_access(s2_gpa(page(5).val + 8), 8, true, MEMORY_SECURE,
		      "stage2: gpa 0x80005008 is secure: the host may not write it\n");
	/* One secure byte refuses all; the line names the first that is secure. */
	expect_access(s2_gpa(page(5).val - 1), 2, false, MEMORY_SECURE,
		      "stage2: gpa 0x80005000 is secure: the host may not read it\n");
	expect_access(page(4), 3 * PAGE, true, MEMORY_SECURE,
		      "stage2: gpa 0x80005000 is secure: the host may not write it\n");
	expect_access(s2_gpa(page(6).val - 1), 1, false, MEMORY_SECURE,
		      "stage2: gpa 0x80005fff is secure: the host may not read it\n");
	expect_access(page(4), PAGE, false, MEMORY_OK, "");
	/* Given back: secure at once. */
	ck_assert_int_eq(unshare_page(&memory, page(4)), MEMORY_OK);
	expect_access(page(4), 1, false, MEMORY_SECURE,
		      "stage2: gpa 0x80004000 is secure: the host may not read it\n");
}
END_TEST

/* A refused write leaves the pages alone that it could have reached. */
START_TEST(refused_write)
{
	uint8_t data[PAGE + 1];

	memset(data, 0xff, sizeof(data));
	ck_assert_int_eq(memory_start(&memory), S2_OK);
	ck_assert_int_eq(share_page(&memory, page(4)), MEMORY_OK);
	test_stderr_begin();
	ck_assert_int_eq(memory_write(&memory, page(4), data, sizeof(data)), MEMORY_SECURE);
	test_stderr_end();
	for (uint64_t i = 0; i <= PAGE; i++) {
		ck_assert(((uint8_t *)ram_hva(&memory.ram, page(4)))[i] == 0);
	}
}
END_TEST

/* Shared for a neighbour's sake is not an invitation, although state and MMU would let us. */
START_TEST(access_widened)
{
	const struct s2_range two = s2_range(page(8), 2 * PAGE);

	ck_assert_int_eq(memory_start(&memory), S2_OK);
	ck_assert_int_eq(s2_track_move(&memory.track, two, S2_SHARE, true), S2_OK);
	expect_access(page(8), 1, false, MEMORY_SECURE,
		      "stage2: gpa 0x80008000 is secure: the host may not read it\n");
	ck_assert_int_eq(s2_track_claim(&memory.track, s2_range(page(8), PAGE)), S2_OK);
	expect_access(page(8), PAGE, false, MEMORY_OK, "");
	expect_access(page(8), PAGE + 1, true, MEMORY_SECURE,
		      "stage2: gpa 0x80009000 is secure: the host may not write it\n");
}
END_TEST

START_TEST(access_outside)
{
	static const struct {
		uint64_t gpa;
		size_t len;
	} cases[] = {
		{RAM - 1, 1},
		{RAM - 1, 2},
		{RAM + LEN, 1},
		{RAM + LEN - 1, 2},
		{RAM, LEN + 1},
		{0, 1},
		{UINT64_MAX, 1},
		{UINT64_MAX, 2},
		{UINT64_MAX - 7, 16},
		{RAM + PAGE, SIZE_MAX},
		{RAM + PAGE, SIZE_MAX - PAGE + 1},
	};

	teardown();
	setup_kind(&protect_none);
	ck_assert_int_eq(memory_start(&memory), S2_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect_access(s2_gpa(cases[i].gpa), cases[i].len, false, MEMORY_OUTSIDE, "");
		expect_access(s2_gpa(cases[i].gpa), cases[i].len, true, MEMORY_OUTSIDE, "");
	}
	expect_access(page(13), 3 * PAGE, false, MEMORY_OK, "");
}
END_TEST

/* The guest took a page back and has not told us yet: the MMU's word counts, and we live. */
START_TEST(guard_catches)
{
	teardown();
	setup_kind(&protect_none);
	ck_assert_int_eq(memory_start(&memory), S2_OK);
	protect(5, PROT_NONE);
	for (int again = 0; again < 3; again++) {
		expect_access(page(5), 8, false, MEMORY_SECURE,
			      "stage2: gpa 0x80005000 is secure: the host may not read it\n");
		expect_access(page(5), 8, true, MEMORY_SECURE,
			      "stage2: gpa 0x80005000 is secure: the host may not write it\n");
		/* In the middle of a longer access: the line names the page that refused. */
		expect_access(page(4), 3 * PAGE, false, MEMORY_SECURE,
			      "stage2: gpa 0x80005000 is secure: the host may not read it\n");
		expect_access(page(6), 8, false, MEMORY_OK, "");
	}
	protect(5, PROT_READ);
	expect_access(page(5), 8, false, MEMORY_OK, "");
	expect_access(page(5), 8, true, MEMORY_SECURE,
		      "stage2: gpa 0x80005000 is secure: the host may not write it\n");
	protect(5, PROT_READ | PROT_WRITE);
	expect_access(page(5), 8, true, MEMORY_OK, "");
}
END_TEST

/* The guard is no blanket: a fault of our own still ends the process. */
START_TEST(guard_is_narrow)
{
	volatile uint8_t *lost = ram_hva(&memory.ram, page(5));
	uint8_t in;

	protect(5, PROT_NONE);
	ck_assert_int_eq(guard_read(&in, ram_hva(&memory.ram, page(5)), 1), GUARD_REFUSED);
	ck_assert_int_eq(guard_read(&in, ram_hva(&memory.ram, page(4)), 1), GUARD_OK);
	*lost;
}
END_TEST

/* Nor does it cover the other side of the copy. */
START_TEST(guard_is_one_sided)
{
	protect(5, PROT_NONE);
	guard_read(ram_hva(&memory.ram, page(5)), ram_hva(&memory.ram, page(4)), 8);
}
END_TEST

START_TEST(probe)
{
	const uint64_t want = UINT64_C(0x1122334455667788);
	uint64_t value = 0;

	memcpy(ram_hva(&memory.ram, page(2)), &want, sizeof(want));
	ck_assert_int_eq(memory_start(&memory), S2_OK);
	/* The tracker says secure; the MMU is what is asked. */
	ck_assert(memory_probe(&memory, page(2), &value));
	ck_assert_uint_eq(value, want);
	protect(2, PROT_NONE);
	ck_assert(!memory_probe(&memory, page(2), &value));
	ck_assert_uint_eq(value, 0);
	ck_assert(!memory_probe(&memory, s2_gpa(page(2).val - 4), &value)); /* half of it */
	ck_assert(memory_probe(&memory, s2_gpa(page(2).val - 8), &value));
	/* What is mapped behind RAM is not RAM. */
	ck_assert_int_eq(mprotect((uint8_t *)ram_hva(&memory.ram, page(0)) + LEN, PAGE, PROT_READ),
			 0);
	ck_assert(memory_probe(&memory, s2_gpa(RAM + LEN - 8), &value));
	ck_assert(!memory_probe(&memory, s2_gpa(RAM + LEN - 7), &value));
	ck_assert(!memory_probe(&memory, s2_gpa(RAM + LEN), &value));
	ck_assert(!memory_probe(&memory, s2_gpa(RAM - 1), &value));
	ck_assert(!memory_probe(&memory, s2_gpa(UINT64_MAX - 3), &value));
}
END_TEST

/* RAM that ends with the last byte of the address space, where start + len is 0. */
START_TEST(top)
{
	const uint64_t base = 0 - 4 * PAGE;
	struct memory high;
	struct ram ram;
	uint8_t byte[2 * PAGE];

	ck_assert_int_eq(ram_init(&ram, s2_gpa(base), 4 * PAGE, RAM_ANON, PAGE, -1), 0);
	ck_assert_int_eq(memory_init(&high, &protect_none, &ram, true), S2_OK);
	ck_assert_int_eq(memory_start(&high), S2_OK);
	ck_assert_int_eq(memory_read(&high, s2_gpa(base + 2 * PAGE), byte, 2 * PAGE), MEMORY_OK);
	ck_assert_int_eq(memory_write(&high, s2_gpa(UINT64_MAX), byte, 1), MEMORY_OK);
	ck_assert_int_eq(memory_write(&high, s2_gpa(UINT64_MAX), byte, 2), MEMORY_OUTSIDE);
	ck_assert_int_eq(unshare_page(&high, s2_gpa(UINT64_MAX)), MEMORY_OK);
	memory_fini(&high);
}
END_TEST

/* Lent memory stays mapped after memory_fini(). */
START_TEST(lent)
{
	struct memory other;
	struct ram ram;

	ck_assert_int_eq(ram_init(&ram, s2_gpa(RAM), LEN, RAM_ANON, PAGE, -1), 0);
	ck_assert_int_eq(memory_init(&other, &protect_none, &ram, false), S2_OK);
	memory_fini(&other);
	memset(ram_hva(&ram, s2_gpa(RAM)), 1, LEN);
	ram_fini(&ram);
}
END_TEST

#define ROUNDS 2000

/*
 * Guests that share a page and take it back as fast as they can: the first says so before, as it has
 * to; the second afterwards, when the host may have found out by itself.
 */
static void *flicker(void *cookie)
{
	const uint64_t index = *(uint64_t *)cookie;
	void *at = ram_hva(&memory.ram, page(index));
	unsigned long failed = 0;

	for (int i = 0; i < ROUNDS; i++) {
		failed += mprotect(at, PAGE, PROT_READ | PROT_WRITE) != 0;
		failed += share_page(&memory, page(index)) != MEMORY_OK;
		if (index == 3) {
			failed += unshare_page(&memory, page(index)) != MEMORY_OK;
			failed += mprotect(at, PAGE, PROT_NONE) != 0;
		} else {
			failed += mprotect(at, PAGE, PROT_NONE) != 0;
			unshare_page(&memory, page(index));
		}
	}
	return failed ? cookie : NULL;
}

START_TEST(threads)
{
	uint64_t index[2] = {3, 4};
	pthread_t thread[2];
	unsigned long odd = 0;
	void *failed;

	ck_assert_int_eq(memory_start(&memory), S2_OK);
	ck_assert_int_eq(share_page(&memory, page(5)), MEMORY_OK);
	test_stderr_begin();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_create(&thread[i], NULL, flicker, &index[i]), 0);
	}
	for (int i = 0; i < 3 * ROUNDS; i++) {
		const uint64_t at = 3 + (uint64_t)i % 3;
		uint64_t value;
		enum memory_err err = memory_read(&memory, page(at), &value, sizeof(value));

		memory_probe(&memory, page(at), &value);
		odd += at == 5 ? err != MEMORY_OK : err != MEMORY_OK && err != MEMORY_SECURE;
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_join(thread[i], &failed), 0);
		ck_assert_ptr_null(failed);
	}
	test_stderr_end();
	ck_assert_uint_eq(odd, 0);
	ck_assert_int_eq(memory_page(&memory, page(3)).state, S2_SECURE);
	ck_assert_int_eq(memory_page(&memory, page(4)).state, S2_SECURE);
	ck_assert(s2_track_check(&memory.track));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory");
	TCase *tcase = tcase_create("memory");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, load);
	tcase_add_test(tcase, start);
	tcase_add_test(tcase, before_start);
	tcase_add_test(tcase, moves);
	tcase_add_test(tcase, access_shared);
	tcase_add_test(tcase, access_secure);
	tcase_add_test(tcase, refused_write);
	tcase_add_test(tcase, access_widened);
	tcase_add_test(tcase, access_outside);
	tcase_add_test(tcase, guard_catches);
	tcase_add_test_raise_signal(tcase, guard_is_narrow, SIGSEGV);
	tcase_add_test_raise_signal(tcase, guard_is_one_sided, SIGSEGV);
	tcase_add_test(tcase, probe);
	tcase_add_test(tcase, top);
	tcase_add_test(tcase, lent);
	tcase_add_test(tcase, threads);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

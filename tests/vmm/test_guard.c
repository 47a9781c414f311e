/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory errors as the kernel reports them, sent to ourselves: a process may send itself any code
 * (Linux, kernel/signal.c, do_rt_tgsigqueueinfo). As root, real ones too: MADV_HWPOISON.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check_main.h"
#include "guard.h"

#define PAGE 4096
#define PAGES 16

static uint8_t *ram; /* PAGES pages, at a multiple of their size */

static void setup(void)
{
	uint8_t *all = mmap(NULL, 2 * PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(all, MAP_FAILED);
	ram = all + (PAGES * PAGE - (uintptr_t)all % (PAGES * PAGE)) % (PAGES * PAGE);
	ck_assert_int_eq(guard_init(), 0);
	guard_watch(ram, PAGES * PAGE);
}

static void send_error(const void *addr, int code, short lsb)
{
	siginfo_t info = {.si_signo = SIGBUS, .si_code = code};

	info.si_addr = (void *)(uintptr_t)addr;
	info.si_addr_lsb = lsb;
	ck_assert_int_eq(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &info), 0);
}

static void expect_error(const void *addr, unsigned int lg2, bool required)
{
	struct guard_error error;

	ck_assert(guard_error_take(&error));
	ck_assert_uint_eq(error.addr, (uintptr_t)addr);
	ck_assert_uint_eq(error.lg2, lg2);
	ck_assert(error.required == required);
}

static void expect_none(void)
{
	struct guard_error error;

	ck_assert(!guard_error_take(&error));
}

START_TEST(in_order)
{
	expect_none();
	send_error(ram, BUS_MCEERR_AR, 12);
	send_error(ram + 5 * PAGE, BUS_MCEERR_AO, 16);
	expect_error(ram, 12, true);
	send_error(ram + PAGES * PAGE - 1, BUS_MCEERR_AR, 12);
	expect_error(ram + 5 * PAGE, 16, false);
	expect_error(ram + PAGES * PAGE - 1, 12, true);
	expect_none();
}
END_TEST

/* The granule counts, not the address: a report may name the start of a large page around RAM. */
START_TEST(granule)
{
	const uint8_t *before = ram - 1, *behind = ram + PAGES * PAGE;

	send_error(before, BUS_MCEERR_AO, 12);
	send_error(behind, BUS_MCEERR_AO, 12);
	expect_none();
	send_error(behind, BUS_MCEERR_AR, 30);
	expect_error(behind, 30, true);
	send_error(before, BUS_MCEERR_AO, 63);
	expect_error(before, 63, false);
	send_error(NULL, BUS_MCEERR_AO, 64);
	expect_error(NULL, 64, false);
}
END_TEST

/* Early notice of an error in memory of our own changes nothing: the guard stays. */
START_TEST(not_ours)
{
	uint8_t byte = 0;

	send_error(&byte, BUS_MCEERR_AO, 12);
	expect_none();
	ck_assert_int_eq(mprotect(ram, PAGE, PROT_NONE), 0);
	ck_assert_int_eq(guard_read(&byte, ram, 1), GUARD_REFUSED);
	send_error(ram, BUS_MCEERR_AR, 12);
	expect_error(ram, 12, true);
}
END_TEST

/* An error in memory of our own that somebody is using ends us: the signal's default. */
START_TEST(own_memory)
{
	uint8_t byte = 0;

	send_error(&byte, BUS_MCEERR_AR, 12);
	send_error(&byte, BUS_MCEERR_AR, 12);
}
END_TEST

START_TEST(unwatched)
{
	guard_watch(NULL, 0);
	send_error(ram, BUS_MCEERR_AR, 12);
	send_error(ram, BUS_MCEERR_AR, 12);
}
END_TEST

/* A thread that runs into the same error for ever, because nobody takes it, does not hang. */
START_TEST(nobody_takes)
{
	for (int i = 0; i < 8; i++) {
		send_error(ram, BUS_MCEERR_AR, 12);
	}
	printf("# eight were kept\n");
	fflush(stdout);
	send_error(ram, BUS_MCEERR_AR, 12);
	send_error(ram, BUS_MCEERR_AR, 12);
}
END_TEST

static void *other_thread(void *cookie)
{
	(void)cookie;
	expect_none();
	send_error(ram, BUS_MCEERR_AR, 12);
	expect_error(ram, 12, true);
	return NULL;
}

START_TEST(threads)
{
	pthread_t thread;

	send_error(ram + PAGE, BUS_MCEERR_AR, 12);
	ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	expect_error(ram + PAGE, 12, true);
	expect_none();
}
END_TEST

/* The kernel's own: the page is lost to reads and writes, its neighbours are not. */
START_TEST(real)
{
	uint8_t byte = 0;

	memset(ram, 0x5a, PAGES * PAGE);
	ck_assert_int_eq(madvise(ram + 3 * PAGE, PAGE, MADV_HWPOISON), 0);
	expect_error(ram + 3 * PAGE, 12, true);
	expect_none();
	for (int again = 0; again < 3; again++) {
		ck_assert_int_eq(guard_read(&byte, ram + 3 * PAGE + 5, 1), GUARD_POISON);
		ck_assert_int_eq(guard_write(ram + 3 * PAGE + 5, &byte, 1), GUARD_POISON);
	}
	for (int i = 0; i < PAGES; i++) {
		if (i != 3) {
			ck_assert_int_eq(guard_read(&byte, ram + i * PAGE, 1), GUARD_OK);
			ck_assert_uint_eq(byte, 0x5a);
		}
	}
	expect_none();
}
END_TEST

/* A real error costs a page of this machine until it is booted again: only where that is asked for. */
static void add_real(TCase *tcase)
{
	if (getenv("S2_POISON") == NULL) {
		printf("# SKIP real: it takes a page of memory from this machine; S2_POISON=1 runs it\n");
		fflush(stdout);
		return;
	}
	tcase_add_test(tcase, real);
}

int main(void)
{
	Suite *suite = suite_create("guard");
	TCase *tcase = tcase_create("guard");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, in_order);
	tcase_add_test(tcase, granule);
	tcase_add_test(tcase, not_ours);
	tcase_add_test_raise_signal(tcase, own_memory, SIGBUS);
	tcase_add_test_raise_signal(tcase, unwatched, SIGBUS);
	tcase_add_test_raise_signal(tcase, nobody_takes, SIGBUS);
	tcase_add_test(tcase, threads);
	add_real(tcase);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

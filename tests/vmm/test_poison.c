/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory errors in guest RAM. A page that is broken here is one that mprotect() has closed and whose
 * SIGSEGV is sent on as the SIGBUS of a memory error; the kernel's own are in tests/kvm, on a board.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check_main.h"
#include "poison.h"
#include "protect.h"
#include "test_files.h"

#define PAGE S2_PAGE_SIZE
#define RAM UINT64_C(0x80000000)
#define PAGES UINT64_C(64)
#define LEAF (PAGES * PAGE)

static struct memory memory;
static bool broken[PAGES];
static struct sigaction guard_action;

/* A process may send itself any code (Linux, kernel/signal.c, do_rt_tgsigqueueinfo). */
static void on_segv(int signal_number, siginfo_t *info, void *context)
{
	const uintptr_t page = ((uintptr_t)info->si_addr - (uintptr_t)memory.ram.hva.val) / PAGE;
	siginfo_t error = {.si_signo = SIGBUS, .si_code = BUS_MCEERR_AR};

	if (page >= PAGES || !broken[page]) {
		guard_action.sa_sigaction(signal_number, info, context);
		return;
	}
	error.si_addr = info->si_addr;
	error.si_addr_lsb = 12;
	syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &error);
}

static void setup(void)
{
	struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_NODEFER};
	struct ram ram;

	ck_assert_int_eq(guard_init(), 0);
	ck_assert_int_eq(sigaction(SIGSEGV, &action, &guard_action), 0);
	ck_assert_int_eq(ram_init(&ram, s2_gpa(RAM), PAGES * PAGE, RAM_ANON, LEAF, -1), 0);
	ck_assert_int_eq(memory_init(&memory, &protect_none, &ram, true), S2_OK);
	ck_assert_int_eq(memory_start(&memory), S2_OK);
	guard_watch(ram_hva(&ram, ram.gpa), ram.len);
	test_stderr_begin();
}

static void teardown(void)
{
	test_stderr_end();
	guard_watch(NULL, 0);
	memory_fini(&memory);
}

static uintptr_t hva(uint64_t index)
{
	return (uintptr_t)memory.ram.hva.val + index * PAGE;
}

static enum s2_state state(uint64_t index)
{
	return memory_page(&memory, s2_gpa(RAM + index * PAGE)).state;
}

static void break_pages(uint64_t index, uint64_t count)
{
	ck_assert_int_eq(mprotect((void *)hva(index), count * PAGE, PROT_NONE), 0);
	for (uint64_t i = index; i < index + count; i++) {
		broken[i] = true;
	}
}

static struct guard_error error_at(uintptr_t addr, unsigned int lg2)
{
	return (struct guard_error){.addr = addr, .lg2 = lg2, .required = true};
}

static void expect_scope(uintptr_t addr, unsigned int lg2, uint64_t first, uint64_t pages)
{
	const struct guard_error error = error_at(addr, lg2);
	const struct s2_range scope = poison_scope(&memory.ram, &error);

	ck_assert_uint_eq(scope.len, pages * PAGE);
	if (pages) {
		ck_assert_uint_eq(scope.start.val, RAM + first * PAGE);
	}
}

START_TEST(scope)
{
	ck_assert_uint_eq(hva(0) % LEAF, 0);
	expect_scope(hva(0), 12, 0, 1);
	expect_scope(hva(5) + 0x123, 12, 5, 1);
	expect_scope(hva(5), 0, 5, 1); /* less than a page is a page */
	expect_scope(hva(PAGES) - 1, 12, PAGES - 1, 1);
	expect_scope(hva(PAGES), 12, 0, 0);
	expect_scope(hva(0) - 1, 12, 0, 0);
	expect_scope(hva(21), 16, 16, 16); /* the aligned 64K around it */
	expect_scope(hva(21), 18, 0, PAGES);
	/* What is around RAM is not ours. */
	expect_scope(hva(21), 21, 0, PAGES);
	expect_scope(hva(21), 63, 0, PAGES);
	expect_scope(hva(21), 64, 0, PAGES);
	expect_scope(0, 64, 0, PAGES);
	expect_scope(0, 12, 0, 0);
	expect_scope(UINTPTR_MAX, 12, 0, 0);
}
END_TEST

/* The kernel names a page: that one it is, whoever else could still read it. */
START_TEST(one_page)
{
	const struct guard_error error = error_at(hva(7) + 8, 12);
	uint64_t value;

	ck_assert_uint_eq(poison_take(&memory, &error), 1);
	for (uint64_t i = 0; i < PAGES; i++) {
		ck_assert_int_eq(state(i), i == 7 ? S2_POISONED : S2_SHARED);
	}
	ck_assert_int_eq(memory_read(&memory, s2_gpa(RAM + 7 * PAGE + 8), &value, 8),
			 MEMORY_POISON);
	ck_assert_int_eq(memory_write(&memory, s2_gpa(RAM + 7 * PAGE - 4), &value, 8),
			 MEMORY_POISON);
	ck_assert(!memory_probe(&memory, s2_gpa(RAM + 7 * PAGE), &value));
	ck_assert_int_eq(memory_read(&memory, s2_gpa(RAM + 8 * PAGE), &value, 8), MEMORY_OK);
	/* Reported again: the same page. */
	ck_assert_uint_eq(poison_take(&memory, &error), 1);
	ck_assert_uint_eq(memory.poisoned, 1);
	ck_assert(s2_track_check(&memory.track));
}
END_TEST

/* A large granule, and nothing in it is broken: nothing is poisoned. */
START_TEST(nothing_broken)
{
	const struct guard_error error = error_at(hva(16), 18);

	ck_assert_int_eq(mprotect((void *)hva(20), PAGE, PROT_NONE), 0);
	ck_assert_uint_eq(poison_take(&memory, &error), 0);
	for (uint64_t i = 0; i < PAGES; i++) {
		ck_assert_int_eq(state(i), S2_SHARED); /* a page that is refused is not broken */
	}
	ck_assert_int_eq(mprotect((void *)hva(20), PAGE, PROT_READ), 0);
}
END_TEST

/* A large granule: exactly the pages that are broken, wherever the address points. */
START_TEST(among_many)
{
	const struct guard_error error = error_at(hva(16), 16), outside = error_at(hva(32), 16);

	memset((void *)hva(0), 0x5a, PAGES * PAGE);
	break_pages(19, 1);
	break_pages(24, 2);
	break_pages(40, 1);
	ck_assert_uint_eq(poison_take(&memory, &error), 3);
	for (uint64_t i = 0; i < PAGES; i++) {
		const bool lost = i == 19 || i == 24 || i == 25;

		ck_assert_int_eq(state(i), lost ? S2_POISONED : S2_SHARED);
	}
	ck_assert_uint_eq(poison_take(&memory, &outside), 1);
	ck_assert_int_eq(state(40), S2_POISONED);
	ck_assert_uint_eq(memory.poisoned, 4);
}
END_TEST

/* The host runs into it by itself: an error for who asked, and the page is known from here on. */
START_TEST(host_access)
{
	uint8_t buffer[4 * PAGE], byte = 1;
	struct guard_error error;

	break_pages(9, 1);
	break_pages(12, 1);
	break_pages(15, 1);
	ck_assert_int_eq(state(9), S2_SHARED);
	ck_assert_int_eq(memory_read(&memory, s2_gpa(RAM + 8 * PAGE), buffer, 2 * PAGE),
			 MEMORY_POISON);
	ck_assert_int_eq(state(8), S2_SHARED);
	ck_assert_int_eq(state(9), S2_POISONED);
	ck_assert_int_eq(memory_write(&memory, s2_gpa(RAM + 13 * PAGE - 1), &byte, 1),
			 MEMORY_POISON);
	ck_assert_int_eq(state(12), S2_POISONED);
	ck_assert(!memory_probe(&memory, s2_gpa(RAM + 15 * PAGE), &(uint64_t){0}));
	ck_assert_int_eq(state(15), S2_POISONED);
	ck_assert(!guard_error_take(&error)); /* all of them were caught in the access */
	ck_assert(s2_track_check(&memory.track));
}
END_TEST

/* A poisoned page makes no move, and a report about it changes nothing. */
START_TEST(no_way_back)
{
	const struct s2_range page = s2_range(s2_gpa(RAM + 7 * PAGE), PAGE);
	const struct guard_error error = error_at(hva(7), 12);

	poison_take(&memory, &error);
	ck_assert_int_ne(memory_claim(&memory, S2_SHARE, page), MEMORY_OK);
	ck_assert_int_ne(memory_claim(&memory, S2_UNSHARE, page), MEMORY_OK);
	ck_assert_int_ne(memory_guest_share(&memory, page), MEMORY_OK);
	ck_assert_int_ne(memory_guest_unshare(&memory, page), MEMORY_OK);
	ck_assert_int_eq(state(7), S2_POISONED);
}
END_TEST

START_TEST(inject_outside)
{
	ck_assert_int_lt(poison_inject(&memory, s2_gpa(RAM - 1)), 0);
	ck_assert_int_lt(poison_inject(&memory, s2_gpa(RAM + PAGES * PAGE)), 0);
	ck_assert_int_lt(poison_inject(&memory, s2_gpa(UINT64_MAX)), 0);
	for (uint64_t i = 0; i < PAGES; i++) {
		ck_assert_int_eq(state(i), S2_SHARED);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("poison");
	TCase *tcase = tcase_create("poison");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, scope);
	tcase_add_test(tcase, one_page);
	tcase_add_test(tcase, nothing_broken);
	tcase_add_test(tcase, no_way_back);
	tcase_add_test(tcase, inject_outside);
	tcase_add_test(tcase, among_many);
	tcase_add_test(tcase, host_access);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

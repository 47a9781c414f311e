/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --protect uv without KVM: the guest is a thread, which uses the mapping that KVM's slot would have. What it
 * finds there, what the host finds in the window, and what happens when the host cheats.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "check_main.h"
#include "guard.h"
#include "protect_uv.h"
#include "test_files.h"

#define PAGE S2_PAGE_SIZE
#define RAM UINT64_C(0x80000000)
#define PAGES 600 /* more than 2 MiB, and no multiple of a MiB */
#define LEN (PAGES * PAGE)
#define IMAGE 3 /* pages of it, from page 1 on */

static struct memory memory;
static int failures; /* calls of cannot_go_on() */

static void cannot_go_on(void *cookie)
{
	__atomic_fetch_add((int *)cookie, 1, __ATOMIC_SEQ_CST);
}

static s2_gpa_t page(uint64_t index)
{
	return s2_gpa(RAM + index * PAGE);
}

static struct protect_uv *uv(void)
{
	return memory.protect;
}

/* The guest's view of a page. */
static volatile uint64_t *guest(uint64_t index)
{
	return (volatile uint64_t *)(void *)(uv()->views.slot + index * PAGE);
}

static enum s2_state state(uint64_t index)
{
	return memory_page(&memory, page(index)).state;
}

static uint64_t pattern(uint64_t index, uint64_t word)
{
	return (index * 512 + word) * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static void guest_writes(uint64_t index)
{
	for (uint64_t i = 0; i < PAGE / 8; i++) {
		guest(index)[i] = pattern(index, i);
	}
}

static bool guest_finds(uint64_t index)
{
	for (uint64_t i = 0; i < PAGE / 8; i++) {
		if (guest(index)[i] != pattern(index, i)) {
			return false;
		}
	}
	return true;
}

/* How many words of the page the host reads as the guest wrote them. */
static unsigned int host_finds(uint64_t index)
{
	unsigned int plain = 0;

	for (uint64_t i = 0; i < PAGE / 8; i++) {
		uint64_t value;

		ck_assert(memory_probe(&memory, s2_gpa(page(index).val + 8 * i), &value));
		plain += value == pattern(index, i);
	}
	return plain;
}

static enum memory_err share(uint64_t index, uint64_t pages)
{
	return memory_guest_share(&memory, s2_range(page(index), pages * PAGE));
}

static enum memory_err take_back(uint64_t index, uint64_t pages)
{
	return memory_guest_unshare(&memory, s2_range(page(index), pages * PAGE));
}

static void setup(void)
{
	struct ram ram;
	uint8_t *image;

	failures = 0;
	ck_assert_int_eq(guard_init(), 0);
	ck_assert_int_eq(ram_init(&ram, s2_gpa(RAM), LEN, RAM_MEMFD, PAGE, -1), 0);
	ck_assert_int_eq(memory_init(&memory, &protect_uv, &ram, true), S2_OK);
	ck_assert_int_eq(protect_uv_init(&memory, 2, false, cannot_go_on, &failures), 0);
	image = memory_load(&memory, page(1), IMAGE * PAGE - 100);
	ck_assert_ptr_nonnull(image);
	for (uint64_t i = 0; i < IMAGE * PAGE / 8; i++) {
		const uint64_t value = pattern(1 + i / 512, i % 512);

		memcpy(image + 8 * i, &value, 8);
	}
	/* Another piece that begins in the last page of the first. */
	ck_assert_ptr_nonnull(memory_load(&memory, s2_gpa(page(IMAGE).val + 4000), 200));
	ck_assert_int_eq(memory_start(&memory), S2_OK);
	ck_assert_int_eq(protect_uv_boot(&memory), 0);
}

static void teardown(void)
{
	memory_fini(&memory);
}

/* The guest finds its image; the host finds none of it. */
START_TEST(image)
{
	ck_assert_uint_eq(s2_uv_count(&uv()->guest.uv).unpacked, IMAGE);
	for (uint64_t i = 1; i <= IMAGE; i++) {
		ck_assert_int_eq(state(i), S2_SECURE);
		ck_assert(guest_finds(i));
	}
	for (uint64_t i = 1; i <= IMAGE; i++) {
		ck_assert_uint_eq(host_finds(i), 0);
		ck_assert_int_eq(state(i), S2_EXPORTED);
	}
	for (uint64_t i = 1; i <= IMAGE; i++) {
		ck_assert(guest_finds(i));
		ck_assert_int_eq(state(i), S2_SECURE);
	}
	ck_assert_int_eq(failures, 0);
}
END_TEST

/* A page that nobody has used is zeros for the guest, and sealed zeros for the host. */
START_TEST(new_pages)
{
	uint64_t first, again;

	ck_assert_uint_eq(*guest(100), 0);
	ck_assert_uint_eq(*guest(PAGES - 1), 0);
	ck_assert(memory_probe(&memory, page(300), &first));
	ck_assert_uint_ne(first, 0);
	ck_assert_uint_eq(*guest(300), 0);
	ck_assert(memory_probe(&memory, page(300), &again));
	ck_assert_uint_ne(again, 0);
	ck_assert_uint_ne(again, first); /* never sealed twice alike */
	ck_assert(s2_uv_check(&uv()->guest.uv));
}
END_TEST

/* Without the layers above: a closed page of the window cannot be touched at all. */
START_TEST(window)
{
	uint64_t value;

	guest_writes(7);
	ck_assert_int_eq(guard_read(&value, ram_hva(&memory.ram, page(7)), 8), GUARD_REFUSED);
	ck_assert_int_eq(guard_write(ram_hva(&memory.ram, page(7)), &value, 8), GUARD_REFUSED);
	ck_assert_int_eq(share(7, 1), MEMORY_OK);
	ck_assert_int_eq(guard_read(&value, ram_hva(&memory.ram, page(7)), 8), GUARD_OK);
	ck_assert_uint_eq(value, pattern(7, 0));
	ck_assert_int_eq(take_back(7, 1), MEMORY_OK);
	ck_assert_int_eq(guard_read(&value, ram_hva(&memory.ram, page(7)), 8), GUARD_REFUSED);
	ck_assert_int_eq(guard_read(&value, ram_hva(&memory.ram, page(9)), 8), GUARD_REFUSED);
	ck_assert(guest_finds(7));
}
END_TEST

/* Shared pages are plain text for both; devices get nothing else. */
START_TEST(shared)
{
	uint64_t value = 42;

	for (uint64_t i = 10; i < 14; i++) {
		guest_writes(i);
	}
	ck_assert_int_eq(share(11, 2), MEMORY_OK);
	ck_assert_uint_eq(host_finds(11), PAGE / 8);
	ck_assert_uint_eq(host_finds(12), PAGE / 8);
	ck_assert_uint_eq(host_finds(10), 0);
	ck_assert_uint_eq(host_finds(13), 0);
	ck_assert_int_eq(memory_write(&memory, page(11), &value, 8), MEMORY_OK);
	ck_assert_uint_eq(*guest(11), 42);
	*guest(11) = 43;
	ck_assert_int_eq(memory_read(&memory, page(11), &value, 8), MEMORY_OK);
	ck_assert_uint_eq(value, 43);
	test_stderr_begin();
	ck_assert_int_eq(memory_read(&memory, page(10), &value, 8), MEMORY_SECURE);
	ck_assert_int_eq(memory_write(&memory, page(13), &value, 8), MEMORY_SECURE);
	ck_assert_str_eq(test_stderr_end(),
			 "stage2: gpa 0x8000a000 is secure: the host may not read it\n"
			 "stage2: gpa 0x8000d000 is secure: the host may not write it\n");
	ck_assert_int_eq(take_back(11, 2), MEMORY_OK);
	ck_assert_uint_eq(*guest(11), 43);
	ck_assert(guest_finds(12));
	ck_assert(guest_finds(13));
	ck_assert_int_eq(failures, 0);
}
END_TEST

/* What is no move changes nothing; a page that the host has sealed can be shared. */
START_TEST(moves)
{
	guest_writes(20);
	ck_assert_int_eq(share(20, 1), MEMORY_OK);
	ck_assert_int_eq(share(20, 1), MEMORY_STATE);
	ck_assert_int_eq(share(19, 3), MEMORY_STATE);
	ck_assert_int_eq(take_back(20, 2), MEMORY_STATE);
	ck_assert_int_eq(take_back(19, 1), MEMORY_STATE);
	ck_assert_int_eq(share(PAGES - 1, 2), MEMORY_OUTSIDE);
	ck_assert_int_eq(memory_guest_share(&memory, s2_range(s2_gpa(RAM + 8), PAGE)),
			 MEMORY_STATE);
	ck_assert_int_eq(state(19), S2_SECURE);
	ck_assert_int_eq(state(20), S2_SHARED);
	ck_assert_int_eq(state(21), S2_SECURE);
	guest_writes(22);
	ck_assert_uint_eq(host_finds(22), 0);
	ck_assert_int_eq(state(22), S2_EXPORTED);
	ck_assert_int_eq(share(21, 3), MEMORY_OK);
	ck_assert_uint_eq(host_finds(22), PAGE / 8);
	ck_assert_uint_eq(*guest(21), 0);
	ck_assert(s2_uv_check(&uv()->guest.uv));
	ck_assert(s2_track_check(&memory.track));
}
END_TEST

static sigjmp_buf out;

static void on_segv(int signal_number)
{
	(void)signal_number;
	siglongjmp(out, 1);
}

/* The host changes, moves or replays what is sealed: the guest never sees it, and cannot go on. */
START_TEST(cheating)
{
	uint8_t one[PAGE], two[PAGE];
	struct sigaction action = {.sa_handler = on_segv, .sa_flags = SA_NODEFER};

	guest_writes(30);
	guest_writes(31);
	if (_i == 0) {
		ck_assert(memory_poke(&memory, s2_gpa(page(30).val + 4088)));
	} else if (_i == 1) { /* another page's seal */
		ck_assert_uint_eq(host_finds(30) + host_finds(31), 0);
		ck_assert_int_eq(guard_read(one, ram_hva(&memory.ram, page(31)), PAGE), GUARD_OK);
		ck_assert_int_eq(guard_write(ram_hva(&memory.ram, page(30)), one, PAGE), GUARD_OK);
	} else { /* an older one */
		ck_assert_uint_eq(host_finds(30), 0);
		ck_assert_int_eq(guard_read(one, ram_hva(&memory.ram, page(30)), PAGE), GUARD_OK);
		ck_assert(guest_finds(30));
		ck_assert_uint_eq(host_finds(30), 0);
		ck_assert_int_eq(guard_read(two, ram_hva(&memory.ram, page(30)), PAGE), GUARD_OK);
		ck_assert_mem_ne(one, two, PAGE);
		ck_assert_int_eq(guard_write(ram_hva(&memory.ram, page(30)), one, PAGE), GUARD_OK);
	}
	test_stderr_begin();
	sigaction(SIGSEGV, &action, NULL);
	if (!sigsetjmp(out, 1)) {
		(void)*guest(30);
		ck_abort_msg("the guest went on");
	}
	ck_assert_str_eq(test_stderr_end(),
			 "stage2: gpa 0x8001e000 is not what was exported: the host has changed "
			 "it: the guest cannot go on\n");
	ck_assert_int_eq(failures, 1);
	ck_assert_uint_eq(s2_uv_count(&uv()->guest.uv).refused, 1);
	ck_assert(guest_finds(31));
}
END_TEST

static bool running;

static void *look(void *cookie)
{
	uint64_t value, *looks = cookie;

	while (__atomic_load_n(&running, __ATOMIC_ACQUIRE)) {
		for (uint64_t i = 40; i < 48; i++) {
			ck_assert(memory_probe(&memory, page(i), &value));
			ck_assert_uint_ne(value, pattern(i, 0));
			__atomic_fetch_add(looks, 1, __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

/* Host and guest at the same pages at the same time: cipher text for one, plain for the other, always. */
START_TEST(race)
{
	uint64_t looks = 0;
	pthread_t host;

	for (uint64_t i = 40; i < 48; i++) {
		guest_writes(i);
	}
	running = true;
	ck_assert_int_eq(pthread_create(&host, NULL, look, &looks), 0);
	/* At least so often, and until the host has had its turn at each page several times. */
	for (int round = 0; round < 200 || __atomic_load_n(&looks, __ATOMIC_RELAXED) < 64;
	     round++) {
		for (uint64_t i = 40; i < 48; i++) {
			ck_assert(guest_finds(i));
			guest_writes(i);
		}
	}
	__atomic_store_n(&running, false, __ATOMIC_RELEASE);
	pthread_join(host, NULL);
	ck_assert_int_eq(failures, 0);
	ck_assert_uint_eq(s2_uv_count(&uv()->guest.uv).refused, 0);
	ck_assert(s2_uv_check(&uv()->guest.uv));
}
END_TEST

/* At the end all that was secret is cleared, and counted. */
START_TEST(destroyed)
{
	uint64_t value;

	guest_writes(50);
	guest_writes(51);
	ck_assert_int_eq(share(51, 1), MEMORY_OK);
	memory_lock(&memory);
	uv_guest_destroy(&uv()->guest);
	memory_unlock(&memory);
	/* The image, and what came with pages 50 and 51; not the page that was shared. */
	ck_assert_uint_eq(uv()->guest.destroyed, IMAGE + 16 - 1);
	memcpy(&value, uv()->views.inner + 50 * PAGE, 8);
	ck_assert_uint_eq(value, 0);
	memcpy(&value, uv()->views.inner + 1 * PAGE, 8);
	ck_assert_uint_eq(value, 0);
	memcpy(&value, uv()->views.inner + 51 * PAGE, 8);
	ck_assert_uint_eq(value, pattern(51, 0));
	ck_assert_int_eq(guard_read(&value, ram_hva(&memory.ram, page(50)), 8), GUARD_REFUSED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uv");
	TCase *tcase = tcase_create("uv");
	struct ram ram;
	struct uv_views views;
	int err = ram_init(&ram, s2_gpa(RAM), PAGE, RAM_MEMFD, PAGE, -1);

	if (!err) {
		err = uv_views_init(&views, &ram, false);
	}
	if (err) {
		printf("1..0 # SKIP no userfaultfd with minor faults on shared memory: %s\n",
		       strerror(-err));
		return EXIT_SUCCESS;
	}
	uv_views_fini(&views);
	ram_fini(&ram);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, image);
	tcase_add_test(tcase, new_pages);
	tcase_add_test(tcase, window);
	tcase_add_test(tcase, shared);
	tcase_add_test(tcase, moves);
	tcase_add_loop_test(tcase, cheating, 0, 3);
	tcase_add_test(tcase, race);
	tcase_add_test(tcase, destroyed);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The x86_64 loader, built for this host, with ELF files made by hand and memory that is real RAM but no VM.
 * What it puts there is read back; offsets and magic numbers are written down here again (Xen,
 * include/public/arch-x86/hvm/start_info.h; the ELF-64 specification).
 */
#include <string.h>

#include "arch.h"
#include "check_main.h"
#include "log.h"
#include "protect.h"
#include "test_files.h"

#define LEN (UINT64_C(8) << 20)
#define M1 (UINT64_C(1) << 20)

static struct vm vm;
static char kernel_path[64];
static char initrd_path[64];

/* An executable of one segment of 5000 bytes at 1 MiB, 12288 in memory, and a note that names its entry. */
static uint8_t image[8192];

enum {
	ELF_CLASS = 4,
	ELF_DATA = 5,
	ELF_TYPE = 16,
	ELF_MACHINE = 18,
	ELF_PHOFF = 32,
	ELF_PHENTSIZE = 54,
	ELF_PHNUM = 56,
	LOAD = 64, /* the first program header */
	NOTE = 120,
	PH_TYPE = 0,
	PH_OFFSET = 8,
	PH_PADDR = 24,
	PH_FILESZ = 32,
	PH_MEMSZ = 40,
	NOTE_BYTES = 200,
	CODE = 1024
};

static void put(size_t at, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		image[at + i] = (uint8_t)(value >> (8 * i));
	}
}

static uint64_t get(uint64_t gpa, size_t len)
{
	const uint8_t *at = ram_hva(&vm.memory.ram, s2_gpa(gpa));
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++) {
		value |= (uint64_t)at[i] << (8 * i);
	}
	return value;
}

static void make_image(void)
{
	for (size_t i = 0; i < sizeof(image); i++) {
		image[i] = (uint8_t)(i * 7);
	}
	memset(image, 0, CODE);
	memcpy(image, "\177ELF", 4);
	put(ELF_CLASS, 2, 1);
	put(ELF_DATA, 1, 1);
	put(ELF_TYPE, 2, 2);
	put(ELF_MACHINE, 62, 2);
	put(ELF_PHOFF, LOAD, 8);
	put(ELF_PHENTSIZE, 56, 2);
	put(ELF_PHNUM, 2, 2);
	put(LOAD + PH_TYPE, 1, 4);
	put(LOAD + PH_OFFSET, CODE, 8);
	put(LOAD + PH_PADDR, M1, 8);
	put(LOAD + PH_FILESZ, 5000, 8);
	put(LOAD + PH_MEMSZ, 12288, 8);
	put(NOTE + PH_TYPE, 4, 4);
	put(NOTE + PH_OFFSET, NOTE_BYTES, 8);
	put(NOTE + PH_FILESZ, 24, 8);
	put(NOTE_BYTES, 4, 4);
	put(NOTE_BYTES + 4, 8, 4);
	put(NOTE_BYTES + 8, 18, 4);
	memcpy(image + NOTE_BYTES + 12, "Xen", 4);
	put(NOTE_BYTES + 16, M1 + 0x123, 8);
}

static void setup(void)
{
	struct ram ram;

	test_folder_make();
	ck_assert_int_eq(ram_init(&ram, s2_gpa(0), LEN, RAM_ANON, S2_PAGE_SIZE, -1), 0);
	vm = (struct vm){.config = {.memory = LEN, .cpu_count = 1}};
	ck_assert_int_eq(memory_init(&vm.memory, &protect_none, &ram, true), S2_OK);
	strcpy(kernel_path, test_path("kernel"));
	strcpy(initrd_path, test_path("initrd"));
	vm.config.kernel = kernel_path;
	make_image();
}

static void teardown(void)
{
	memory_fini(&vm.memory);
	test_folder_remove();
}

static void expect_refused(size_t len, const char *part)
{
	const char *said;
	int got;

	test_file("kernel", image, len);
	test_stderr_begin();
	got = arch_load(&vm);
	said = test_stderr_end();
	test_is_one_line(said);
	ck_assert_int_eq(got, EXIT_CODE_DATA);
	ck_assert_msg(strstr(said, part) && strstr(said, kernel_path), "said: %s", said);
}

/* Is the page among those that count as loaded? */
static bool loaded(uint64_t gpa)
{
	for (size_t i = 0; i < vm.memory.loaded_count; i++) {
		const struct s2_range *range = &vm.memory.loaded[i];

		if (gpa >= range->start.val && gpa - range->start.val < range->len) {
			return true;
		}
	}
	return false;
}

START_TEST(good)
{
	vm.config.append = "exit=3";
	test_file("kernel", image, sizeof(image));
	ck_assert_int_eq(arch_load(&vm), 0);
	ck_assert_uint_eq(vm.image.entry.val, M1 + 0x123);
	ck_assert_mem_eq(ram_hva(&vm.memory.ram, s2_gpa(M1)), image + CODE, 5000);
	ck_assert_uint_eq(get(M1 + 5000, 8), 0);
	/* start_info: magic, version, no modules, command line, memory map of one entry. */
	ck_assert_uint_eq(get(vm.image.info.val, 4), 0x336ec578);
	ck_assert_uint_eq(get(vm.image.info.val + 4, 4), 1);
	ck_assert_uint_eq(get(vm.image.info.val + 12, 4), 0);
	ck_assert_str_eq(ram_hva(&vm.memory.ram, s2_gpa(get(vm.image.info.val + 24, 8))), "exit=3");
	ck_assert_uint_eq(get(vm.image.info.val + 48, 4), 1);
	ck_assert_uint_eq(get(get(vm.image.info.val + 40, 8), 8), 0);
	ck_assert_uint_eq(get(get(vm.image.info.val + 40, 8) + 8, 8), LEN);
	/* The file's pages and the boot data are loaded; what is only zero is not. */
	ck_assert(loaded(M1) && loaded(M1 + 4096) && !loaded(M1 + 8192) && !loaded(M1 - 1));
	ck_assert(loaded(vm.image.info.val) && !loaded(0));
}
END_TEST

START_TEST(initrd)
{
	vm.config.initrd = initrd_path;
	test_file("initrd", "abcdef", 6);
	test_file("kernel", image, sizeof(image));
	ck_assert_int_eq(arch_load(&vm), 0);
	ck_assert_uint_eq(get(vm.image.info.val + 12, 4), 1);
	ck_assert_uint_eq(get(get(vm.image.info.val + 16, 8) + 8, 8), 6);
	ck_assert_uint_eq(get(get(get(vm.image.info.val + 16, 8), 8), 1), 'a');
	ck_assert_uint_ge(vm.image.initrd.val, M1 + 12288);
}
END_TEST

START_TEST(bad)
{
	static const struct {
		size_t at;
		uint64_t value;
		size_t len;
		const char *part;
	} spoilt[] = {
		{0, 0, 1, "not an x86_64 executable"},
		{ELF_CLASS, 1, 1, "not an x86_64 executable"},
		{ELF_DATA, 2, 1, "not an x86_64 executable"},
		{ELF_TYPE, 3, 2, "not an x86_64 executable"},
		{ELF_MACHINE, 183, 2, "not an x86_64 executable"},
		{ELF_PHENTSIZE, 57, 2, "no segments"},
		{ELF_PHNUM, 0, 2, "no segments"},
		{ELF_PHNUM, 17, 2, "no segments"},
		{ELF_PHOFF, sizeof(image) - 50, 8, "truncated"},
		{ELF_PHOFF, UINT64_MAX - 8, 8, "truncated"},
		{LOAD + PH_OFFSET, 4000, 8, "truncated"},
		{LOAD + PH_OFFSET, UINT64_MAX, 8, "truncated"},
		{LOAD + PH_FILESZ, 12289, 8, "longer than its memory"},
		{LOAD + PH_PADDR, 0x8000, 8, "64 KiB"},
		{LOAD + PH_PADDR, LEN - 4096, 8, "too large"},
		{LOAD + PH_PADDR, 0 - M1, 8, "too large"},
		{LOAD + PH_MEMSZ, UINT64_MAX, 8, "too large"},
		{LOAD + PH_MEMSZ, LEN, 8, "too large"},
		{NOTE + PH_TYPE, 0, 4, "no PVH entry"},
		{NOTE + PH_OFFSET, UINT64_MAX - 3, 8, "truncated"},
		{NOTE + PH_FILESZ, 20, 8, "no PVH entry"},
		{NOTE_BYTES, UINT32_MAX, 4, "no PVH entry"},
		{NOTE_BYTES + 4, UINT32_MAX, 4, "no PVH entry"},
		{NOTE_BYTES + 4, 9, 4, "no PVH entry"},
		{NOTE_BYTES + 8, 17, 4, "no PVH entry"},
		{NOTE_BYTES + 12, 'Y', 1, "no PVH entry"},
		{NOTE_BYTES + 16, LEN, 8, "no PVH entry"},
	};

	for (size_t i = 0; i < sizeof(spoilt) / sizeof(*spoilt); i++) {
		make_image();
		put(spoilt[i].at, spoilt[i].value, spoilt[i].len);
		vm.memory.loaded_count = 0;
		expect_refused(sizeof(image), spoilt[i].part);
	}
}
END_TEST

START_TEST(cut)
{
	for (size_t len = 1; len < CODE + 5000; len += len < 300 ? 1 : 97) {
		vm.memory.loaded_count = 0;
		expect_refused(len, "truncated");
	}
}
END_TEST

START_TEST(many_pieces)
{
	for (int i = 0; i < MEMORY_LOADED_MAX; i++) {
		ck_assert_ptr_nonnull(memory_load(&vm.memory, s2_gpa(0), 1));
	}
	ck_assert_ptr_null(memory_load(&vm.memory, s2_gpa(0), 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("image_x86");
	TCase *tcase = tcase_create("image_x86");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, good);
	tcase_add_test(tcase, initrd);
	tcase_add_test(tcase, bad);
	tcase_add_test(tcase, cut);
	tcase_add_test(tcase, many_pieces);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arm64 loader, built for this host, with images made by hand and memory that is real RAM but no
 * VM. What it puts there is read back, the device tree with libfdt. Header fields and addresses are
 * written down here again (Linux, Documentation/arch/arm64/booting.rst; the guest's memory map).
 */
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

#include "arch.h"
#include "check_main.h"
#include "test_files.h"

#define RAM UINT64_C(0x80000000)
#define M1 (UINT64_C(1) << 20)
#define M2 (2 * M1)
#define LEN (8 * M1)
#define TREE_ROOM UINT64_C(0x10000)

static struct vm vm;
static char kernel_path[64];
static char initrd_path[64];

/* An Image of the least size and of 1 MiB in memory, whose fields a test may spoil. */
static uint8_t image[8192];

static void put(size_t at, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		image[at + i] = (uint8_t)(value >> (8 * i));
	}
}

static void setup(void)
{
	struct ram ram;

	test_folder_make();
	ck_assert_int_eq(ram_init(&ram, s2_gpa(RAM), LEN, RAM_ANON, S2_PAGE_SIZE, -1), 0);
	ck_assert_int_eq(memory_init(&vm.memory, &protect_pkvm, &ram, true), S2_OK);
	strcpy(kernel_path, test_path("kernel"));
	strcpy(initrd_path, test_path("initrd"));
	vm.config.kernel = kernel_path;
	vm.config.memory = LEN;
	vm.config.cpu_count = 3;
	for (size_t i = 64; i < sizeof(image); i++) {
		image[i] = (uint8_t)(i * 7);
	}
	put(0x08, 0, 8);	  /* text_offset */
	put(0x10, M1, 8);	  /* image_size */
	put(0x18, 0xa, 8);	  /* flags: little-endian, 4 KiB pages, anywhere */
	put(0x38, 0x644d5241, 4); /* magic */
}

static void teardown(void)
{
	memory_fini(&vm.memory);
	test_folder_remove();
}

/* Loads the image cut to len bytes, and expects this code and a line with this in it. */
static void expect_refused(size_t len, int code, const char *part)
{
	const char *said;
	int got;

	test_file("kernel", image, len);
	test_stderr_begin();
	got = arch_load(&vm);
	said = test_stderr_end();
	ck_assert_int_eq(got, code);
	test_is_one_line(said);
	ck_assert_msg(strstr(said, part) && strstr(said, kernel_path), "said: %s", said);
}

static void expect_loaded(size_t len)
{
	test_file("kernel", image, len);
	ck_assert_int_eq(arch_load(&vm), 0);
	ck_assert_mem_eq(ram_hva(&vm.memory.ram, vm.image.entry), image, len);
}

START_TEST(loads)
{
	expect_loaded(sizeof(image));
	ck_assert_uint_eq(vm.image.entry.val, RAM);
	ck_assert_uint_eq(vm.image.initrd_len, 0);
	/* Behind what the kernel takes when it runs, which is more than its file. */
	ck_assert_uint_ge(vm.image.info.val, RAM + M1);
	expect_loaded(64);
}
END_TEST

START_TEST(text_offset)
{
	put(0x08, 0x80000, 8);
	expect_loaded(sizeof(image));
	ck_assert_uint_eq(vm.image.entry.val, RAM + 0x80000);
	ck_assert_uint_ge(vm.image.info.val, RAM + 0x80000 + M1);
	put(0x10, 0, 8); /* before Linux 3.17: no size, and the offset was fixed */
	put(0x08, 0x123000, 8);
	expect_loaded(sizeof(image));
	ck_assert_uint_eq(vm.image.entry.val, RAM + 0x80000);
	put(0x10, M1, 8);
	put(0x08, M2, 8);
	expect_refused(sizeof(image), EXIT_CODE_DATA, "text_offset");
	put(0x08, UINT64_MAX, 8);
	expect_refused(sizeof(image), EXIT_CODE_DATA, "text_offset");
}
END_TEST

START_TEST(bad_header)
{
	static const uint8_t gzip[] = {0x1f, 0x8b, 8, 0};

	for (size_t len = 1; len < 64; len++) {
		expect_refused(len, EXIT_CODE_DATA, "truncated");
	}
	put(0x38, 0x644d5240, 4);
	expect_refused(sizeof(image), EXIT_CODE_DATA, "is not a little-endian arm64 Image");
	put(0x38, 0x41524d64, 4); /* the magic, the other way round */
	expect_refused(sizeof(image), EXIT_CODE_DATA, "is not a little-endian arm64 Image");
	put(0x38, 0x644d5241, 4);
	put(0x18, 0xb, 8);
	expect_refused(sizeof(image), EXIT_CODE_DATA, "is not a little-endian arm64 Image");
	put(0x18, 0xa, 8);
	memcpy(image, gzip, sizeof(gzip));
	expect_refused(sizeof(image), EXIT_CODE_DATA, "is compressed: unpack it");
	expect_refused(sizeof(gzip), EXIT_CODE_DATA, "is compressed: unpack it");
}
END_TEST

START_TEST(too_large)
{
	put(0x10, LEN + 1, 8);
	expect_refused(sizeof(image), EXIT_CODE_DATA, "too large for the guest");
	put(0x10, UINT64_MAX, 8);
	expect_refused(sizeof(image), EXIT_CODE_DATA, "too large for the guest");
	put(0x10, LEN - TREE_ROOM + 1, 8);
	test_file("kernel", image, sizeof(image));
	test_stderr_begin();
	ck_assert_int_eq(arch_load(&vm), EXIT_CODE_DATA);
	ck_assert_ptr_nonnull(strstr(test_stderr_end(), "no room for the device tree"));
	put(0x10, LEN - TREE_ROOM, 8);
	expect_loaded(sizeof(image));
	ck_assert_uint_eq(vm.image.info.val, RAM + LEN - TREE_ROOM);
}
END_TEST

/* Makes the image an EFI application: PE header at pe, two sections up to file_end. */
static void make_pe(uint32_t pe, uint32_t file_end)
{
	const uint32_t table = pe + 24 + 160;

	put(0, 0x5a4d, 2); /* MZ */
	put(0x3c, pe, 4);
	put(pe, 0x4550, 4);   /* PE */
	put(pe + 6, 2, 2);    /* sections */
	put(pe + 20, 160, 2); /* size of the optional header */
	put(table + 16, 0x200, 4);
	put(table + 20, file_end - 0x200, 4);
	put(table + 40 + 16, 0x100, 4); /* the second one ends earlier */
	put(table + 40 + 20, 0x400, 4);
}

START_TEST(pe_truncated)
{
	make_pe(0x40, sizeof(image));
	expect_loaded(sizeof(image));
	expect_refused(sizeof(image) - 1, EXIT_CODE_DATA,
		       "is truncated: it has 8191 bytes of 8192");
	expect_refused(512, EXIT_CODE_DATA, "is truncated");
	/* Sections that end beyond 4 GiB do not wrap. */
	put(0x40 + 24 + 160 + 16, UINT32_MAX, 4);
	put(0x40 + 24 + 160 + 20, UINT32_MAX, 4);
	expect_refused(sizeof(image), EXIT_CODE_DATA, "of 8589934590");
}
END_TEST

/* Our payloads say in a reserved word how long the file is. */
START_TEST(length_word)
{
	put(0x20, sizeof(image), 8);
	expect_loaded(sizeof(image));
	expect_refused(sizeof(image) - 1, EXIT_CODE_DATA,
		       "is truncated: it has 8191 bytes of 8192");
	expect_refused(64, EXIT_CODE_DATA, "is truncated");
	put(0x20, UINT64_MAX, 8);
	expect_refused(sizeof(image), EXIT_CODE_DATA, "is truncated");
}
END_TEST

/* A PE header that leads nowhere is not read; the Image is still an Image. */
START_TEST(pe_odd)
{
	static const uint32_t pe[] = {4096 - 24, 4096 - 23,  4096 - 20, 4096 - 4,
				      4096,	 0x7fffffff, UINT32_MAX};

	for (size_t i = 0; i < sizeof(pe) / sizeof(pe[0]); i++) {
		put(0, 0x5a4d, 2);
		put(0x3c, pe[i], 4);
		put(4096 - 18, UINT16_MAX, 2); /* sections, of which none is in the head */
		put(4096 - 4, UINT16_MAX, 2);
		if (pe[i] <= 4096) {
			put(pe[i], 0x4550, 4);
		}
		expect_loaded(sizeof(image));
	}
	make_pe(0x40, sizeof(image));
	put(0x40 + 6, UINT16_MAX, 2); /* more sections than there is room for */
	for (size_t at = 0x40 + 24 + 160 + 80; at < 4096; at++) {
		image[at] = 0;
	}
	expect_loaded(sizeof(image));
	expect_refused(sizeof(image) - 1, EXIT_CODE_DATA, "is truncated");
	put(0x3c, 64 - 24 + 1, 4); /* in a file of a header's length */
	expect_loaded(64);
}
END_TEST

/* Damage anywhere in the first bytes: an answer, and no harm (for the sanitizers). */
START_TEST(damaged)
{
	uint8_t good[512];
	int code;

	make_pe(0x40, sizeof(image));
	memcpy(good, image, sizeof(good));
	for (unsigned int i = 0; i < 512 * 3; i++) {
		memcpy(image, good, sizeof(good));
		image[i / 3] = i % 3 == 0 ? 0xff : i % 3 == 1 ? 0 : image[i / 3] ^ 0x80;
		test_file("kernel", image, sizeof(image));
		test_stderr_begin();
		code = arch_load(&vm);
		if (code) {
			test_is_one_line(test_stderr_end());
			ck_assert_int_eq(code, EXIT_CODE_DATA);
		} else {
			ck_assert_str_eq(test_stderr_end(), "");
		}
	}
}
END_TEST

/* What cannot be an input file; what is "kernel" or "initrd". */
static void expect_bad_files(const char *what, const char **path)
{
	static const struct {
		const char *name;
		int code;
		const char *said; /* behind "kernel 'PATH'" */
	} cases[] = {
		{"missing", EXIT_CODE_NO_INPUT, ": No such file or directory"},
		{".", EXIT_CODE_NO_INPUT, " is not a regular file"},
		{"pipe", EXIT_CODE_NO_INPUT, " is not a regular file"},
		{"empty", EXIT_CODE_DATA, " is empty"},
	};

	test_file("empty", "", 0);
	unlink(test_path("pipe"));
	ck_assert_int_eq(mkfifo(test_path("pipe"), 0600), 0); /* nobody writes to it */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char bad[64], want[256];
		const char *said;

		strcpy(bad, test_path(cases[i].name));
		*path = bad;
		snprintf(want, sizeof(want), "%s '%s'%s", what, bad, cases[i].said);
		test_stderr_begin();
		ck_assert_int_eq(arch_load(&vm), cases[i].code);
		said = test_stderr_end();
		test_is_one_line(said);
		ck_assert_msg(strstr(said, want), "said: %s", said);
	}
}

START_TEST(bad_files)
{
	expect_bad_files("kernel", &vm.config.kernel);
	vm.config.kernel = kernel_path;
	test_file("kernel", image, sizeof(image));
	expect_bad_files("initrd", &vm.config.initrd);
}
END_TEST

START_TEST(initrd)
{
	static const char data[] = "070701, or so it begins";

	test_file("initrd", data, sizeof(data));
	vm.config.initrd = initrd_path;
	expect_loaded(sizeof(image));
	ck_assert_uint_eq(vm.image.initrd_len, sizeof(data));
	ck_assert_uint_ge(vm.image.initrd.val, RAM + M1);
	ck_assert_mem_eq(ram_hva(&vm.memory.ram, vm.image.initrd), data, sizeof(data));
	ck_assert_uint_ge(vm.image.info.val, vm.image.initrd.val + sizeof(data));
}
END_TEST

START_TEST(initrd_too_large)
{
	const uint64_t room = LEN - M2; /* it begins at 2 MiB */
	const char *said;

	test_file("kernel", image, sizeof(image));
	test_file("initrd", "", 0);
	vm.config.initrd = initrd_path;
	ck_assert_int_eq(truncate(initrd_path, (off_t)(room + 1)), 0);
	test_stderr_begin();
	ck_assert_int_eq(arch_load(&vm), EXIT_CODE_DATA);
	said = test_stderr_end();
	test_is_one_line(said);
	ck_assert_ptr_nonnull(strstr(said, "is too large for the guest"));
	ck_assert_ptr_nonnull(strstr(said, initrd_path));
	ck_assert_int_eq(truncate(initrd_path, (off_t)room), 0);
	test_stderr_begin();
	ck_assert_int_eq(arch_load(&vm), EXIT_CODE_DATA);
	ck_assert_ptr_nonnull(strstr(test_stderr_end(), "no room for the device tree"));
	ck_assert_int_eq(truncate(initrd_path, (off_t)(room - TREE_ROOM)), 0);
	ck_assert_int_eq(arch_load(&vm), 0);
}
END_TEST

/* The guest has started: its memory is not the loader's. */
START_TEST(too_late)
{
	ck_assert_int_eq(memory_start(&vm.memory), S2_OK);
	expect_refused(sizeof(image), EXIT_CODE_DATA, "");
}
END_TEST

/* The tree as the guest would find it. */
static const void *tree(void)
{
	const void *fdt = ram_hva(&vm.memory.ram, vm.image.info);

	ck_assert_int_eq(fdt_check_full(fdt, TREE_ROOM), 0);
	ck_assert_uint_eq(vm.image.info.val % 8, 0);
	ck_assert_uint_eq(vm.image.info.val / M2,
			  (vm.image.info.val + fdt_totalsize(fdt) - 1) / M2);
	return fdt;
}

static int node(const void *fdt, const char *path)
{
	const int at = fdt_path_offset(fdt, path);

	ck_assert_msg(at >= 0, "no node %s", path);
	return at;
}

static void expect_text(const void *fdt, const char *path, const char *name, const char *want)
{
	int len;
	const char *text = fdt_getprop(fdt, node(fdt, path), name, &len);

	ck_assert_msg(text && len == (int)strlen(want) + 1 && !strcmp(text, want),
		      "%s/%s is not \"%s\"", path, name, want);
}

/* A property of 32-bit cells; a 64-bit number is two of them. */
static void expect_cells(const void *fdt, const char *path, const char *name, const uint32_t *want,
			 int count)
{
	const fdt32_t *cell;
	int len;

	cell = fdt_getprop(fdt, node(fdt, path), name, &len);
	ck_assert_msg(cell && len == 4 * count, "%s/%s has %d bytes", path, name, len);
	for (int i = 0; i < count; i++) {
		ck_assert_msg(fdt32_ld(cell + i) == want[i], "%s/%s: cell %d is 0x%x", path, name,
			      i, fdt32_ld(cell + i));
	}
}

#define EXPECT_CELLS(fdt, path, name, ...)                             \
	expect_cells(fdt, path, name, (const uint32_t[]){__VA_ARGS__}, \
		     sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

START_TEST(tree_memory)
{
	const void *fdt;

	vm.config.append = "console=ttyS0 earlycon";
	expect_loaded(sizeof(image));
	fdt = tree();
	EXPECT_CELLS(fdt, "/", "#address-cells", 2);
	EXPECT_CELLS(fdt, "/", "#size-cells", 2);
	expect_text(fdt, "/memory@80000000", "device_type", "memory");
	EXPECT_CELLS(fdt, "/memory@80000000", "reg", 0, 0x80000000, 0, LEN);
	expect_text(fdt, "/chosen", "bootargs", "console=ttyS0 earlycon");
	expect_text(fdt, "/chosen", "stdout-path", "/serial@9000000");
	ck_assert_ptr_null(fdt_getprop(fdt, node(fdt, "/chosen"), "linux,initrd-start", NULL));
	ck_assert_ptr_null(fdt_getprop(fdt, node(fdt, "/chosen"), "linux,initrd-end", NULL));
	vm.config.append = NULL;
	vm.config.memory = UINT64_C(5) << 30; /* what the tree says is the configuration's */
	expect_loaded(sizeof(image));
	expect_text(tree(), "/chosen", "bootargs", "");
	EXPECT_CELLS(tree(), "/memory@80000000", "reg", 0, 0x80000000, 1, 0x40000000);
}
END_TEST

START_TEST(tree_initrd)
{
	const void *fdt;
	uint64_t end;

	test_file("initrd", "12345", 5);
	vm.config.initrd = initrd_path;
	expect_loaded(sizeof(image));
	fdt = tree();
	end = vm.image.initrd.val + 5; /* exclusive */
	EXPECT_CELLS(fdt, "/chosen", "linux,initrd-start", (uint32_t)(vm.image.initrd.val >> 32),
		     (uint32_t)vm.image.initrd.val);
	EXPECT_CELLS(fdt, "/chosen", "linux,initrd-end", (uint32_t)(end >> 32), (uint32_t)end);
}
END_TEST

START_TEST(tree_cpus)
{
	for (unsigned int count = 1; count <= VM_CPU_MAX; count++) {
		unsigned int found = 0;
		const void *fdt;
		int at;

		vm.config.cpu_count = count;
		expect_loaded(sizeof(image));
		fdt = tree();
		EXPECT_CELLS(fdt, "/cpus", "#address-cells", 1);
		EXPECT_CELLS(fdt, "/cpus", "#size-cells", 0);
		fdt_for_each_subnode(at, fdt, node(fdt, "/cpus"))
		{
			char path[32];

			snprintf(path, sizeof(path), "/cpus/cpu@%x", found);
			expect_text(fdt, path, "device_type", "cpu");
			expect_text(fdt, path, "enable-method", "psci");
			EXPECT_CELLS(fdt, path, "reg", found);
			found++;
		}
		ck_assert_uint_eq(found, count);
		/* A redistributor for each. */
		EXPECT_CELLS(fdt, "/interrupt-controller@8000000", "reg", 0, 0x08000000, 0, 0x10000,
			     0, 0x080a0000, 0, 0x20000 * count);
	}
}
END_TEST

START_TEST(tree_devices)
{
	static const char psci[] = "arm,psci-1.0\0arm,psci-0.2";
	uint32_t phandle;
	const void *fdt;

	expect_loaded(sizeof(image));
	fdt = tree();
	expect_text(fdt, "/psci", "method", "hvc");
	ck_assert_mem_eq(fdt_getprop(fdt, node(fdt, "/psci"), "compatible", NULL), psci,
			 sizeof(psci));
	expect_text(fdt, "/interrupt-controller@8000000", "compatible", "arm,gic-v3");
	EXPECT_CELLS(fdt, "/interrupt-controller@8000000", "#interrupt-cells", 3);
	phandle = fdt_get_phandle(fdt, node(fdt, "/interrupt-controller@8000000"));
	ck_assert_uint_ne(phandle, 0);
	EXPECT_CELLS(fdt, "/", "interrupt-parent", phandle);
	expect_text(fdt, "/timer", "compatible", "arm,armv8-timer");
	/* Secure, non-secure, virtual and hypervisor timer: private, level, high. */
	EXPECT_CELLS(fdt, "/timer", "interrupts", 1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4);
	expect_text(fdt, "/serial@9000000", "compatible", "ns16550a");
	EXPECT_CELLS(fdt, "/serial@9000000", "reg", 0, 0x09000000, 0, 0x1000);
	EXPECT_CELLS(fdt, "/serial@9000000", "interrupts", 0, 0, 4);
	expect_text(fdt, "/control@9010000", "compatible", "stage2,control");
	EXPECT_CELLS(fdt, "/control@9010000", "reg", 0, 0x09010000, 0, 0x1000);
}
END_TEST

/* The kernel wants fresh random numbers; two guests must not get the same. */
START_TEST(tree_seed)
{
	uint8_t seed[64];
	int len;

	expect_loaded(sizeof(image));
	ck_assert_ptr_nonnull(fdt_getprop(tree(), node(tree(), "/chosen"), "rng-seed", &len));
	ck_assert_int_eq(len, sizeof(seed));
	memcpy(seed, fdt_getprop(tree(), node(tree(), "/chosen"), "rng-seed", NULL), sizeof(seed));
	expect_loaded(sizeof(image));
	ck_assert_mem_ne(seed, fdt_getprop(tree(), node(tree(), "/chosen"), "rng-seed", NULL),
			 sizeof(seed));
}
END_TEST

START_TEST(append_too_long)
{
	static char text[TREE_ROOM + 1];

	test_file("kernel", image, sizeof(image));
	memset(text, 'a', sizeof(text) - 1);
	vm.config.append = text;
	for (size_t len = sizeof(text) - 1; len > 60 * 1024; len -= 1000) {
		int code;

		text[len] = '\0';
		test_stderr_begin();
		code = arch_load(&vm);
		if (code) {
			ck_assert_int_eq(code, EXIT_CODE_USAGE);
			ck_assert_str_eq(test_stderr_end(),
					 "stage2: --append is too long: the device tree has room "
					 "for about 60 KiB\n");
			ck_assert_uint_gt(len, 62 * 1024);
		} else {
			ck_assert_str_eq(test_stderr_end(), "");
			ck_assert_uint_lt(len, TREE_ROOM);
		}
	}
	text[60 * 1024] = '\0';
	ck_assert_int_eq(arch_load(&vm), 0);
	ck_assert_str_eq(fdt_getprop(tree(), node(tree(), "/chosen"), "bootargs", NULL), text);
}
END_TEST

static void add_image_tests(TCase *tcase)
{
	tcase_add_test(tcase, loads);
	tcase_add_test(tcase, text_offset);
	tcase_add_test(tcase, bad_header);
	tcase_add_test(tcase, too_large);
	tcase_add_test(tcase, pe_truncated);
	tcase_add_test(tcase, length_word);
	tcase_add_test(tcase, pe_odd);
	tcase_add_test(tcase, damaged);
	tcase_add_test(tcase, bad_files);
	tcase_add_test(tcase, initrd);
	tcase_add_test(tcase, initrd_too_large);
	tcase_add_test(tcase, too_late);
}

static void add_tree_tests(TCase *tcase)
{
	tcase_add_test(tcase, tree_memory);
	tcase_add_test(tcase, tree_initrd);
	tcase_add_test(tcase, tree_cpus);
	tcase_add_test(tcase, tree_devices);
	tcase_add_test(tcase, tree_seed);
	tcase_add_test(tcase, append_too_long);
}

int main(void)
{
	Suite *suite = suite_create("image");
	TCase *tcase = tcase_create("image");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	add_image_tests(tcase);
	add_tree_tests(tcase);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

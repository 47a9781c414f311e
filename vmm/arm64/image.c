/* SPDX-License-Identifier: BSD-2-Clause */
/* The arm64 boot protocol (Linux, Documentation/arch/arm64/booting.rst). */
#include <inttypes.h>
#include <string.h>

#include "../boot.h"
#include "layout.h"

#define FDT_SIZE_MAX UINT64_C(0x10000)
#define KERNEL_ALIGN UINT64_C(0x200000)

/* The 64-byte header of an Image. */
struct image_header {
	uint32_t code[2];
	uint64_t text_offset; /* from a 2 MiB boundary */
	uint64_t image_size;  /* in memory, with what is zero */
	uint64_t flags;	      /* bit 0: big-endian */
	uint64_t reserved[3];
	uint32_t magic;
	uint32_t pe_offset;
};

#define IMAGE_MAGIC 0x644d5241u /* "ARM\x64" */

_Static_assert(sizeof(struct image_header) == 64, "booting.rst: the header is 64 bytes");

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)le16(p) | (uint32_t)le16(p + 2) << 16;
}

/*
 * How long the file must be at least. Our payloads say it in a reserved word of the Image header, which
 * is 0 in Linux. A kernel that is an EFI application too has a table of sections with offsets and sizes
 * in the file (Microsoft PE format, "Section Table"). 0 if the file does not say.
 */
static uint64_t file_size_needed(const uint8_t *head, size_t len, const struct image_header *header)
{
	const uint32_t pe = header->pe_offset;
	uint64_t needed = header->reserved[0];
	size_t table;

	if (le16(head) != 0x5a4d || pe > len - 24 || le32(head + pe) != 0x4550) {
		return needed;
	}
	table = (size_t)pe + 24 + le16(head + pe + 20);
	for (unsigned int i = 0; i < le16(head + pe + 6); i++) {
		const size_t section = table + 40 * (size_t)i;
		uint64_t end;

		if (section + 40 > len) {
			break;
		}
		end = (uint64_t)le32(head + section + 20) + le32(head + section + 16);
		needed = end > needed ? end : needed;
	}
	return needed;
}

static int check_kernel(const struct boot_file *file, struct image_header *header)
{
	uint8_t head[4096];
	uint64_t needed;
	size_t len;
	int code = boot_head(file, head, sizeof(head), &len);

	if (code) {
		return code;
	}
	if (len >= 2 && head[0] == 0x1f && head[1] == 0x8b) {
		log_error("kernel '%s' is compressed: unpack it with gunzip first", file->path);
		return EXIT_CODE_DATA;
	}
	if (len < sizeof(*header)) {
		log_error("kernel '%s' is truncated: %zu bytes are no arm64 Image", file->path,
			  len);
		return EXIT_CODE_DATA;
	}
	memcpy(header, head, sizeof(*header));
	if (header->magic != IMAGE_MAGIC || header->flags & 1) {
		log_error(
			"kernel '%s' is not a little-endian arm64 Image: use arch/arm64/boot/Image, "
			"or Debian's vmlinuz for arm64",
			file->path);
		return EXIT_CODE_DATA;
	}
	needed = file_size_needed(head, len, header);
	if (needed > file->len) {
		log_error("kernel '%s' is truncated: it has %" PRIu64 " bytes of %" PRIu64
			  ": fetch or build it again",
			  file->path, file->len, needed);
		return EXIT_CODE_DATA;
	}
	/* Before Linux 3.17 image_size was 0, and text_offset then meant 0x80000. */
	if (!header->image_size) {
		header->text_offset = 0x80000;
	}
	if (header->text_offset >= KERNEL_ALIGN) {
		log_error("kernel '%s' is damaged: its text_offset 0x%" PRIx64
			  " is not below 2 MiB: fetch or build it again",
			  file->path, header->text_offset);
		return EXIT_CODE_DATA;
	}
	if (header->image_size < file->len) {
		header->image_size = file->len;
	}
	return 0;
}

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

static int load_initrd(struct vm *vm, uint64_t *end)
{
	struct vm_image *image = &vm->image;
	int code;

	image->initrd = s2_gpa(align_up(*end, KERNEL_ALIGN));
	code = boot_load_initrd(vm->config.initrd, &vm->memory, image->initrd, &image->initrd_len);
	*end = image->initrd.val + image->initrd_len;
	return code;
}

static int load_kernel(struct vm *vm, uint64_t *end)
{
	struct image_header header;
	struct boot_file file;
	int code = boot_open(&file, "kernel", vm->config.kernel);

	if (code) {
		return code;
	}
	code = check_kernel(&file, &header);
	if (!code && !memory_has_room(&vm->memory, s2_gpa(RAM_BASE + header.text_offset),
				      header.image_size)) {
		log_error("kernel '%s' is too large for the guest: it takes %" PRIu64
			  " KiB when it runs, and --memory is %" PRIu64 " KiB: use more",
			  file.path, header.image_size >> 10, vm->config.memory >> 10);
		code = EXIT_CODE_DATA;
	}
	if (!code) {
		vm->image.entry = s2_gpa(RAM_BASE + header.text_offset);
		*end = vm->image.entry.val + header.image_size;
		code = boot_load(&file, &vm->memory, vm->image.entry);
	}
	boot_close(&file);
	return code;
}

int arch_load(struct vm *vm)
{
	uint64_t end = 0;
	void *fdt;
	int code = load_kernel(vm, &end);

	if (!code && vm->config.initrd) {
		code = load_initrd(vm, &end);
	}
	if (code) {
		return code;
	}
	/* At most 2 MiB, on 8 bytes, not across a 2 MiB boundary (booting.rst 2). */
	vm->image.info = s2_gpa(align_up(end, FDT_SIZE_MAX));
	fdt = memory_load(&vm->memory, vm->image.info, FDT_SIZE_MAX);
	if (!fdt) {
		log_error(
			"no room for the device tree behind kernel and initrd: use more --memory");
		return EXIT_CODE_DATA;
	}
	return fdt_build(vm, fdt, FDT_SIZE_MAX);
}

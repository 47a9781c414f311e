/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PVH boot protocol (Xen, docs/misc/pvh.pandoc, include/public/arch-x86/hvm/start_info.h): an ELF
 * file with a note that names its 32-bit entry. A Linux vmlinux is one, and so are our payloads.
 */
#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "../boot.h"
#include "layout.h"

#define SEGMENTS_MAX 16
#define NOTES_MAX UINT64_C(0x10000)
#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t module_count;
	uint64_t modules; /* gpa of struct module */
	uint64_t cmdline;
	uint64_t rsdp;
	uint64_t map; /* gpa of struct map_entry */
	uint32_t map_count;
	uint32_t reserved;
};

#define START_INFO_MAGIC 0x336ec578U
#define START_INFO_VERSION 1 /* the first that has a memory map */

struct module {
	uint64_t start;
	uint64_t len;
	uint64_t cmdline;
	uint64_t reserved;
};

struct map_entry {
	uint64_t start;
	uint64_t len;
	uint32_t type;
	uint32_t reserved;
};

#define MAP_RAM 1

/* All that the guest is started with, in one page but for the command line. */
struct info_page {
	struct start_info info;
	struct module initrd;
	struct map_entry map;
};

_Static_assert(sizeof(struct start_info) == 56 && sizeof(struct module) == 32 &&
		       sizeof(struct map_entry) == 24,
	       "start_info.h: the sizes of version 1");

struct elf {
	Elf64_Ehdr header;
	Elf64_Phdr segment[SEGMENTS_MAX];
};

static int not_an_image(const struct boot_file *file, const char *why)
{
	log_error("kernel '%s' %s: use an ELF file with a PVH entry, as Linux's vmlinux or our "
		  "payload for x86_64",
		  file->path, why);
	return EXIT_CODE_DATA;
}

static int read_elf(const struct boot_file *file, struct elf *elf)
{
	const Elf64_Ehdr *header = &elf->header;
	size_t got;
	int code = boot_head(file, &elf->header, sizeof(elf->header), &got);

	if (code) {
		return code;
	}
	if (got >= 2 && header->e_ident[0] == 0x1f && header->e_ident[1] == 0x8b) {
		log_error("kernel '%s' is compressed: unpack it with gunzip first", file->path);
		return EXIT_CODE_DATA;
	}
	if (got < sizeof(*header)) {
		log_error("kernel '%s' is truncated: %zu bytes are no ELF file", file->path, got);
		return EXIT_CODE_DATA;
	}
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_machine != EM_X86_64 ||
	    header->e_type != ET_EXEC) {
		return not_an_image(file, "is not an x86_64 executable");
	}
	if (header->e_phentsize != sizeof(Elf64_Phdr) || !header->e_phnum ||
	    header->e_phnum > SEGMENTS_MAX) {
		return not_an_image(file, "has no segments, or too many");
	}
	return boot_read(file, header->e_phoff, elf->segment, header->e_phnum * sizeof(Elf64_Phdr));
}

/* The entry that Xen's note in this segment names; 0 if there is none. Notes are padded to 4 bytes. */
static int find_entry(const struct boot_file *file, const Elf64_Phdr *segment, uint64_t *entry)
{
	static uint8_t notes[NOTES_MAX];
	const uint64_t len = segment->p_filesz < NOTES_MAX ? segment->p_filesz : NOTES_MAX;
	int code = boot_read(file, segment->p_offset, notes, len);
	uint64_t at = 0;

	while (!code && len - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		uint64_t name = at + sizeof(note), content, end;

		memcpy(&note, notes + at, sizeof(note));
		content = name + (((uint64_t)note.n_namesz + 3) & ~UINT64_C(3));
		end = content + (((uint64_t)note.n_descsz + 3) & ~UINT64_C(3));
		if (end > len) {
			break;
		}
		if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
		    !memcmp(notes + name, "Xen", 4) && note.n_descsz >= 4 && note.n_descsz <= 8) {
			memcpy(entry, notes + content, note.n_descsz);
		}
		at = end;
	}
	return code;
}

/* Fresh memory is zero, a file's is not. */
static int load_segment(struct vm *vm, const struct boot_file *file, const Elf64_Phdr *segment)
{
	const s2_gpa_t gpa = s2_gpa(segment->p_paddr);
	int code;

	if (segment->p_filesz > segment->p_memsz) {
		return not_an_image(file, "is damaged: a segment is longer than its memory");
	}
	if (segment->p_paddr < IMAGE_MIN) {
		return not_an_image(file, "wants memory below 64 KiB, where its boot data is");
	}
	if (!memory_has_room(&vm->memory, gpa, segment->p_memsz)) {
		log_error("kernel '%s' is too large for the guest: it takes memory up to %" PRIu64
			  " KiB when it runs, and --memory is %" PRIu64 " KiB: use more",
			  file->path, (segment->p_paddr + segment->p_memsz) >> 10,
			  vm->config.memory >> 10);
		return EXIT_CODE_DATA;
	}
	code = segment->p_filesz ? boot_load_part(file, segment->p_offset, segment->p_filesz,
						  &vm->memory, gpa)
				 : 0;
	if (!code && vm->config.backing == RAM_FILE) {
		const uint64_t len = segment->p_memsz - segment->p_filesz;

		memset(memory_load(&vm->memory, s2_gpa(gpa.val + segment->p_filesz), len), 0, len);
	}
	return code;
}

static int load_kernel(struct vm *vm, const struct boot_file *file, uint64_t *end)
{
	struct elf elf;
	uint64_t entry = 0;
	int code = read_elf(file, &elf);

	for (unsigned int i = 0; !code && i < elf.header.e_phnum; i++) {
		const Elf64_Phdr *segment = &elf.segment[i];

		if (segment->p_type == PT_NOTE) {
			code = find_entry(file, segment, &entry);
		} else if (segment->p_type == PT_LOAD) {
			code = load_segment(vm, file, segment);
			if (!code && segment->p_paddr + segment->p_memsz > *end) {
				*end = segment->p_paddr + segment->p_memsz;
			}
		}
	}
	if (!code && (!entry || !ram_contains(&vm->memory.ram, s2_gpa(entry), 1))) {
		code = not_an_image(file, "has no PVH entry");
	}
	vm->image.entry = s2_gpa(entry);
	return code;
}

static int load_initrd(struct vm *vm, uint64_t end)
{
	const uint64_t align = UINT64_C(1) << 21;
	struct vm_image *image = &vm->image;

	image->initrd = s2_gpa((end + align - 1) & ~(align - 1));
	return boot_load_initrd(vm->config.initrd, &vm->memory, image->initrd, &image->initrd_len);
}

static int write_info(struct vm *vm)
{
	const char *append = vm->config.append ? vm->config.append : "";
	const size_t len = strlen(append) + 1;
	struct info_page *page = memory_load(&vm->memory, s2_gpa(INFO_BASE), sizeof(*page));
	void *cmdline = memory_load(&vm->memory, s2_gpa(CMDLINE_BASE), len);

	if (len > CMDLINE_MAX) {
		log_error("--append is too long: the command line has room for %" PRIu64 " KiB",
			  CMDLINE_MAX >> 10);
		return EXIT_CODE_USAGE;
	}
	if (!page || !cmdline) {
		log_error("no room for the boot data: use more --memory");
		return EXIT_CODE_DATA;
	}
	memcpy(cmdline, append, len);
	*page = (struct info_page){
		.info = {.magic = START_INFO_MAGIC,
			 .version = START_INFO_VERSION,
			 .module_count = vm->image.initrd_len ? 1 : 0,
			 .modules = INFO_BASE + offsetof(struct info_page, initrd),
			 .cmdline = CMDLINE_BASE,
			 .map = INFO_BASE + offsetof(struct info_page, map),
			 .map_count = 1},
		.initrd = {.start = vm->image.initrd.val, .len = vm->image.initrd_len},
		.map = {.start = RAM_BASE, .len = vm->config.memory, .type = MAP_RAM}};
	vm->image.info = s2_gpa(INFO_BASE);
	return 0;
}

int arch_load(struct vm *vm)
{
	struct boot_file file;
	uint64_t end = IMAGE_MIN;
	int code = boot_open(&file, "kernel", vm->config.kernel);

	if (code) {
		return code;
	}
	code = load_kernel(vm, &file, &end);
	boot_close(&file);
	if (!code && vm->config.initrd) {
		code = load_initrd(vm, end);
	}
	return code ? code : write_info(vm);
}

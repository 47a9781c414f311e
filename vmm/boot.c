/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

int boot_open(struct boot_file *file, const char *what, const char *path)
{
	struct stat st;

	*file = (struct boot_file){.what = what, .path = path, .fd = -1};
	/* O_NONBLOCK: a FIFO would make us wait for its writer. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0 || fstat(file->fd, &st)) {
		log_error("cannot open %s '%s': %s: check the path", what, path, strerror(errno));
		boot_close(file);
		return EXIT_CODE_NO_INPUT;
	}
	if (!S_ISREG(st.st_mode)) {
		log_error("%s '%s' is not a regular file: check the path", what, path);
		boot_close(file);
		return EXIT_CODE_NO_INPUT;
	}
	if (st.st_size == 0) {
		log_error("%s '%s' is empty: check how it was made or fetched", what, path);
		boot_close(file);
		return EXIT_CODE_DATA;
	}
	file->len = (uint64_t)st.st_size;
	return 0;
}

void boot_close(struct boot_file *file)
{
	if (file->fd >= 0) {
		close(file->fd);
	}
	file->fd = -1;
}

/* Reads exactly len bytes at offset; *got is less only at the end of the file. */
static int read_at(const struct boot_file *file, void *to, size_t len, uint64_t offset, size_t *got)
{
	*got = 0;
	while (*got < len) {
		ssize_t n =
			pread(file->fd, (uint8_t *)to + *got, len - *got, (off_t)(offset + *got));

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0 && errno == EFAULT) {
			log_error("no memory for %s '%s': is the backing's file system full?",
				  file->what, file->path);
			return EXIT_CODE_OS;
		}
		if (n < 0) {
			log_error("cannot read %s '%s': %s", file->what, file->path,
				  strerror(errno));
			return EXIT_CODE_NO_INPUT;
		}
		if (n == 0) {
			break;
		}
		*got += (size_t)n;
	}
	return 0;
}

int boot_head(const struct boot_file *file, void *to, size_t len, size_t *got)
{
	return read_at(file, to, len, 0, got);
}

static int truncated(const struct boot_file *file, uint64_t needed)
{
	log_error("%s '%s' is truncated: it has %" PRIu64 " bytes of %" PRIu64
		  ": fetch or build it again",
		  file->what, file->path, file->len, needed);
	return EXIT_CODE_DATA;
}

int boot_read(const struct boot_file *file, uint64_t offset, void *to, size_t len)
{
	size_t got;
	int code;

	if (len > file->len || offset > file->len - len) {
		return truncated(file, offset > UINT64_MAX - len ? UINT64_MAX : offset + len);
	}
	code = read_at(file, to, len, offset, &got);
	if (!code && got != len) {
		log_error("%s '%s' became shorter while it was read: try again", file->what,
			  file->path);
		code = EXIT_CODE_DATA;
	}
	return code;
}

int boot_load_part(const struct boot_file *file, uint64_t offset, uint64_t len,
		   struct memory *memory, s2_gpa_t gpa)
{
	void *to = memory_load(memory, gpa, len);

	if (!to) {
		log_error("%s '%s' is too large for the guest: %" PRIu64 " KiB at 0x%" PRIx64
			  " do not fit into %" PRIu64 " KiB of memory: use a larger --memory",
			  file->what, file->path, len >> 10, gpa.val, memory->ram.len >> 10);
		return EXIT_CODE_DATA;
	}
	return boot_read(file, offset, to, len);
}

int boot_load(const struct boot_file *file, struct memory *memory, s2_gpa_t gpa)
{
	return boot_load_part(file, 0, file->len, memory, gpa);
}

#define CPIO_HEADER 110

/* A field of a cpio header: eight hexadecimal digits; what is no digit counts as 0. */
static uint64_t cpio_field(const uint8_t *text)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++) {
		const char *digits = "0123456789abcdef";
		const char *digit = text[i] ? strchr(digits, text[i] | 0x20) : NULL;

		value = value << 4 | (digit ? (uint64_t)(digit - digits) : 0);
	}
	return value;
}

/*
 * Headers, names and contents up to the trailer, each name and content padded to 4 bytes (Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst). Anything may follow the trailer.
 */
static bool cpio_truncated(const uint8_t *data, uint64_t len)
{
	uint64_t at = 0;

	while (at < len && (len - at < 6 || !memcmp(data + at, "07070", 5))) {
		uint64_t name, content;

		if (len - at < CPIO_HEADER) {
			return at > 0 && data[at];
		}
		name = at + CPIO_HEADER;
		content = (name + cpio_field(data + at + 94) + 3) & ~UINT64_C(3);
		at = content + cpio_field(data + at + 54);
		if (at > len) {
			return true;
		}
		if (content - name > 10 && !memcmp(data + name, "TRAILER!!!", 10)) {
			return false;
		}
		at = (at + 3) & ~UINT64_C(3);
	}
	return false;
}

/*
 * Is an initrd that was loaded to gpa whole? Known of cpio archives only: of one that is compressed the
 * guest will find out.
 */
static int check_initrd(const struct boot_file *file, struct memory *memory, s2_gpa_t gpa)
{
	const uint8_t *data = memory_load(memory, gpa, file->len);

	if (data && cpio_truncated(data, file->len)) {
		log_error("%s '%s' is truncated: its last file ends past its %" PRIu64
			  " bytes: make or fetch it again",
			  file->what, file->path, file->len);
		return EXIT_CODE_DATA;
	}
	return 0;
}

int boot_load_initrd(const char *path, struct memory *memory, s2_gpa_t gpa, uint64_t *len)
{
	struct boot_file file;
	int code = boot_open(&file, "initrd", path);

	if (code) {
		return code;
	}
	*len = file.len;
	code = boot_load(&file, memory, gpa);
	if (!code) {
		code = check_initrd(&file, memory, gpa);
	}
	boot_close(&file);
	return code;
}

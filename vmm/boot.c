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
	file->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0 || fstat(file->fd, &st)) {
		log_error("cannot open %s '%s': %s", what, path, strerror(errno));
		boot_close(file);
		return EXIT_CODE_NO_INPUT;
	}
	if (!S_ISREG(st.st_mode)) {
		log_error("%s '%s' is not a regular file", what, path);
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
		ssize_t n = pread(file->fd, (uint8_t *)to + *got, len - *got,
				  (off_t)(offset + *got));

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			log_error("cannot read %s '%s': %s", file->what, file->path, strerror(errno));
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

int boot_load(const struct boot_file *file, struct memory *memory, s2_gpa_t gpa)
{
	void *to = memory_load(memory, gpa, file->len);
	size_t got;
	int code;

	if (!to) {
		log_error("%s '%s' is too large for the guest: %" PRIu64 " KiB at 0x%" PRIx64
			  " do not fit into %" PRIu64 " MiB of memory: use a larger --memory",
			  file->what, file->path, file->len >> 10, gpa.val,
			  memory->ram.len >> 20);
		return EXIT_CODE_DATA;
	}
	code = read_at(file, to, file->len, 0, &got);
	if (!code && got != file->len) {
		log_error("%s '%s' became shorter while it was read: try again", file->what,
			  file->path);
		code = EXIT_CODE_DATA;
	}
	return code;
}

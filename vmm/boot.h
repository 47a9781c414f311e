/* SPDX-License-Identifier: BSD-2-Clause */
/* Image files, for every architecture. 0 or an exit code (log.h) after one line on stderr. */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include <stdint.h>

#include "memory.h"

/* An input file: open, not empty, not a directory. */
struct boot_file {
	const char *what; /* "kernel", "initrd": for messages */
	const char *path;
	int fd;
	uint64_t len; /* bytes */
};

int boot_open(struct boot_file *file, const char *what, const char *path);
void boot_close(struct boot_file *file);

/* Reads the first len bytes, or what the file has; *got tells. */
int boot_head(const struct boot_file *file, void *to, size_t len, size_t *got);

/* Reads len bytes at offset; a file that ends before that is truncated. */
int boot_read(const struct boot_file *file, uint64_t offset, void *to, size_t len);

/* Loads len bytes of the file, from offset on, to gpa. Fails as boot_load(). */
int boot_load_part(const struct boot_file *file, uint64_t offset, uint64_t len,
		   struct memory *memory, s2_gpa_t gpa);

/*
 * Loads the whole file to gpa. Fails if RAM has no room for it there, naming the memory that would be
 * enough.
 */
int boot_load(const struct boot_file *file, struct memory *memory, s2_gpa_t gpa);

/*
 * Loads an initrd to gpa; *len is its length, unless it cannot be opened. Fails as boot_load(), and if it is
 * a cpio archive that is cut short: of one that is compressed the guest will find out.
 */
int boot_load_initrd(const char *path, struct memory *memory, s2_gpa_t gpa, uint64_t *len);

#endif

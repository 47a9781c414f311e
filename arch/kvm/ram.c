/* SPDX-License-Identifier: BSD-2-Clause */
#include "ram.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14, include/uapi/asm-generic/mman-common.h */
#endif

const char *ram_backing_name(enum ram_backing backing)
{
	static const char *const name[RAM_BACKING_COUNT] = {"anon", "thp", "memfd", "file"};

	return backing < RAM_BACKING_COUNT ? name[backing] : "unknown";
}

unsigned int ram_requested_lg2(enum ram_backing backing)
{
	unsigned long long size = 0;
	unsigned int lg2 = 0;
	FILE *file;

	if (backing != RAM_THP) {
		return S2_PAGE_LG2;
	}
	file = fopen("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "re");
	if (file) {
		if (fscanf(file, "%llu", &size) != 1) {
			size = 0;
		}
		fclose(file);
	}
	while (size > 1) {
		size >>= 1;
		lg2++;
	}
	return lg2 >= S2_PAGE_LG2 ? lg2 : S2_PAGE_LG2;
}

/* Maps the backing at a place that is already reserved. Returns 0 or -errno. */
static int map_backing(struct ram *ram, void *where, int file)
{
	/* Of a file on hugetlbfs the pages are reserved: better no memory now than a guest that dies. */
	int flags = MAP_FIXED | (ram->backing == RAM_FILE ? 0 : MAP_NORESERVE);
	int fd = -1;
	void *got;

	if (ram->backing == RAM_MEMFD) {
		fd = memfd_create("guest-ram", MFD_CLOEXEC);
		if (fd < 0) {
			return -errno;
		}
		if (ftruncate(fd, (off_t)ram->len)) {
			int err = -errno;

			close(fd);
			return err;
		}
	} else if (ram->backing == RAM_FILE) {
		fd = file;
	}
	flags |= fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	got = mmap(where, ram->len, PROT_READ | PROT_WRITE, flags, fd, 0);
	flags = got == MAP_FAILED ? -errno : 0;
	if (ram->backing == RAM_MEMFD) {
		close(fd);
	}
	return flags;
}

/* Advice that must hold, and advice that is a wish: a kernel without THP has no folios to offer. */
static int advise(const struct ram *ram, void *where)
{
	if (madvise(where, ram->len, MADV_DONTDUMP) || madvise(where, ram->len, MADV_DONTFORK)) {
		return -errno;
	}
	if (ram->backing == RAM_ANON) {
		madvise(where, ram->len, MADV_NOHUGEPAGE);
	} else if (ram->backing == RAM_THP) {
		madvise(where, ram->len, MADV_HUGEPAGE);
	}
	return 0;
}

int ram_init(struct ram *ram, s2_gpa_t gpa, uint64_t len, enum ram_backing backing,
	     uint64_t leaf_max, int fd)
{
	uintptr_t start;
	int err;

	*ram = (struct ram){.gpa = gpa, .len = len, .backing = backing, .leaf_max = leaf_max};
	if (len > SIZE_MAX - leaf_max) {
		return -ENOMEM;
	}
	ram->reserved_len = len + leaf_max;
	ram->reserved = mmap(NULL, ram->reserved_len, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram->reserved == MAP_FAILED) {
		ram->reserved = NULL;
		return -errno;
	}
	/* The first address of the reservation with gpa's offset in a leaf of the largest size. */
	start = (uintptr_t)ram->reserved;
	start += (gpa.val - start) & (leaf_max - 1);
	ram->hva = s2_hva(start);
	err = map_backing(ram, (void *)start, fd);
	if (!err) {
		err = advise(ram, (void *)start);
	}
	if (err) {
		ram_fini(ram);
	}
	return err;
}

void ram_fini(struct ram *ram)
{
	if (ram->reserved) {
		munmap(ram->reserved, ram->reserved_len);
	}
	free(ram->run);
	*ram = (struct ram){0};
}

int ram_populate(struct ram *ram)
{
	if (madvise((void *)(uintptr_t)ram->hva.val, ram->len, MADV_POPULATE_WRITE)) {
		return -errno;
	}
	return 0;
}

void ram_count_folios(const struct ram *ram, uint64_t out[64])
{
	for (unsigned int i = 0; i < 64; i++) {
		out[i] = 0;
	}
	for (size_t i = 0; i < ram->run_count; i++) {
		out[ram->run[i].folio_order + S2_PAGE_LG2] += ram->run[i].len;
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest RAM on Linux: a mapping of this process, and the folios that the kernel really gave.
 *
 * KVM maps a large leaf only where gpa and hva have the same offset within it (Linux,
 * arch/arm64/kvm/mmu.c, "the IPA and the HVA must be congruent"), so the mapping is placed that way.
 *
 * Context: one thread at a time for one struct ram.
 */
#ifndef ARCH_KVM_RAM_H
#define ARCH_KVM_RAM_H

#include <stage2/run.h>
#include <stage2/types.h>

/* Where the memory comes from. */
enum ram_backing {
	RAM_ANON,  /* anonymous memory, MADV_NOHUGEPAGE: 4 KiB folios */
	RAM_THP,   /* anonymous memory, MADV_HUGEPAGE: whatever sizes the host's THP policy gives */
	RAM_MEMFD, /* memfd: shmem folios, sizes by the host's shmem policy */
	RAM_FILE,  /* a file of the user's; protected guests need it to be on tmpfs */
	RAM_BACKING_COUNT
};

const char *ram_backing_name(enum ram_backing backing);

struct ram {
	s2_gpa_t gpa;
	uint64_t len; /* bytes, a multiple of the page */
	s2_hva_t hva; /* start of the mapping; hva and gpa agree modulo leaf_max */
	enum ram_backing backing;
	uint64_t leaf_max; /* bytes: the largest leaf that gpa and hva allow for */
	void *reserved;	   /* the reservation that holds the mapping */
	uint64_t reserved_len;
	struct s2_run *run; /* by ram_find_runs(), sorted by gpa; NULL before */
	size_t run_count;
};

/*
 * Reserves len bytes of address space for RAM at gpa and maps the backing there. No page is touched.
 * leaf_max is the size of the largest leaf to place for, a power of two. fd is the file of RAM_FILE
 * and ignored otherwise. The memory is left out of core dumps and of children: a protected guest's
 * pages must not be touched by the kernel on our behalf, which would destroy them.
 * Returns 0 or -errno; then *ram needs no ram_fini().
 */
int ram_init(struct ram *ram, s2_gpa_t gpa, uint64_t len, enum ram_backing backing,
	     uint64_t leaf_max, int fd);

/* Unmaps and frees. No VM may use the memory any longer. */
void ram_fini(struct ram *ram);

/* Makes the host allocate every page now. Returns 0 or -errno (-ENOMEM: the host has not enough). */
int ram_populate(struct ram *ram);

/*
 * Asks the kernel which folios lie behind the pages that are present and sets ram->run. Pages that are
 * not present, or were only read and are the kernel's page of zeros, are in no run. May be called again;
 * the new answer replaces the old.
 * Needs CAP_SYS_ADMIN: pagemap hides frame numbers from others (Linux, Documentation/admin-guide/mm/
 * pagemap.rst). Returns 0; -EPERM without that; or -errno.
 */
int ram_find_runs(struct ram *ram);

/*
 * The first page of the range, which is whole pages of RAM, that the kernel has marked as broken (memory
 * error, KPF_HWPOISON) and that is still mapped: a pinned page, or one of a folio that it could not split.
 * Returns 1 and sets *out; 0 if there is none; -EPERM and the like as ram_find_runs(). A broken page
 * that the kernel has unmapped is not found: using it raises SIGBUS.
 */
int ram_next_broken(const struct ram *ram, struct s2_range range, s2_gpa_t *out);

/* Bytes of the runs, by log2 of their folio's size; out has 64 members and is set. */
void ram_count_folios(const struct ram *ram, uint64_t out[64]);

/* log2 of the folio size that was asked for: 12, or the PMD size for THP. */
unsigned int ram_requested_lg2(enum ram_backing backing);

/* The host virtual address of a gpa inside RAM; the caller has checked that it is inside. */
static inline void *ram_hva(const struct ram *ram, s2_gpa_t gpa)
{
	return (void *)(uintptr_t)(ram->hva.val + (gpa.val - ram->gpa.val));
}

/* Is [gpa, gpa + len) inside RAM? Never wraps. */
static inline bool ram_contains(const struct ram *ram, s2_gpa_t gpa, uint64_t len)
{
	uint64_t offset = gpa.val - ram->gpa.val;

	return gpa.val >= ram->gpa.val && offset <= ram->len && len <= ram->len - offset;
}

#endif

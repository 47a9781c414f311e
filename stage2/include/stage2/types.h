/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses, ranges and runs: the words that every other header uses.
 *
 *   gpa, hpa, hva   guest-physical, host-physical and host-virtual address. Three types, so that
 *                   passing one for another does not compile.
 *   range           bytes of guest-physical address space: start and length. Half-open ends would
 *                   not be able to say the top of the address space, so there is no end member:
 *                   the last byte is start + len - 1 and never wraps.
 *   run             a range that is contiguous in host-physical memory too, and lies in one folio.
 *   folio, order    the host's unit of allocation, 2^order pages, naturally aligned in hpa.
 *   leaf            one translation; its size is a power of two. Sets of leaf sizes are masks in
 *                   which bit n stands for leaves of 2^n bytes.
 */
#ifndef STAGE2_TYPES_H
#define STAGE2_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The caller must look at the result: ignoring it is a bug. */
#define S2_NODISCARD __attribute__((warn_unused_result))

/* The page: the unit of page state. Every format that this library knows has it. */
#define S2_PAGE_LG2 12
#define S2_PAGE_SIZE (UINT64_C(1) << S2_PAGE_LG2)

typedef struct {
	uint64_t val;
} s2_gpa_t;

typedef struct {
	uint64_t val;
} s2_hpa_t;

typedef struct {
	uint64_t val;
} s2_hva_t;

static inline s2_gpa_t s2_gpa(uint64_t val)
{
	s2_gpa_t gpa = {val};

	return gpa;
}

static inline s2_hpa_t s2_hpa(uint64_t val)
{
	s2_hpa_t hpa = {val};

	return hpa;
}

static inline s2_hva_t s2_hva(uint64_t val)
{
	s2_hva_t hva = {val};

	return hva;
}

/* Bytes of guest-physical address space. */
struct s2_range {
	s2_gpa_t start;
	uint64_t len; /* bytes, not 0; start + len - 1 does not wrap */
};

static inline struct s2_range s2_range(s2_gpa_t start, uint64_t len)
{
	struct s2_range range = {start, len};

	return range;
}

/* The last byte of a range. */
static inline s2_gpa_t s2_range_last(struct s2_range range)
{
	return s2_gpa(range.start.val + (range.len - 1));
}

/* A stretch of guest memory, contiguous in gpa and in hpa, inside one folio. */
struct s2_run {
	s2_gpa_t gpa;
	s2_hpa_t hpa;
	uint64_t len;	     /* bytes, a multiple of S2_PAGE_SIZE, at most the folio's size */
	uint8_t folio_order; /* the folio is 2^folio_order pages; 0 to S2_FOLIO_ORDER_MAX */
};

/* 16 GiB with 4 KiB pages: no host that we know of allocates in larger units. */
#define S2_FOLIO_ORDER_MAX 22

/*
 * What the guest may do with a page; a set. Which sets can be said depends on the format: no format
 * has write without read, some have no execute without read, and most cannot tell the guest's
 * kernel from its user programs (then both execute bits go together).
 */
#define S2_READ 1u
#define S2_WRITE 2u
#define S2_EXEC 4u	/* by the guest's kernel */
#define S2_EXEC_USER 8u /* by the guest's user programs */
#define S2_RW (S2_READ | S2_WRITE)
#define S2_RX (S2_READ | S2_EXEC | S2_EXEC_USER)
#define S2_RWX (S2_RW | S2_RX)
#define S2_PROT_ALL S2_RWX

/* What kind of memory is behind a page. Formats lack some; mapping those is S2_ERR_FORMAT. */
enum s2_mem {
	S2_MEM_NORMAL = 0, /* write-back cacheable RAM */
	S2_MEM_NC = 1,	   /* not cached, may be gathered: write-combining */
	S2_MEM_DEVICE = 2, /* not cached, in order */
	S2_MEM_WT = 3,	   /* write-through */
	S2_MEM_WP = 4,	   /* write-protected cache lines */
	S2_MEM_COUNT
};

#ifdef __cplusplus
}
#endif
#endif

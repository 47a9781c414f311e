/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `stage2 measure` found out: written as JSON where it was measured, read, printed and drawn
 * anywhere. measure/README.md documents the JSON schema; its names are the member names here.
 *
 * Every figure belongs to one of three groups, and never leaves it:
 *
 *	counted   exact, and the same on every run with the same seed
 *	modelled  computed from what was counted, by a named model
 *	timed     clock readings; on an emulated board they say nothing about hardware, and every
 *	          place that shows them says "emulated"
 */
#ifndef MEASURE_REPORT_H
#define MEASURE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define REPORT_SCHEMA "stage2-measure"
#define REPORT_VERSION 1

#define REPORT_NAME_MAX 64
#define REPORT_LEAF_LG2_MAX 40

/* Counts and seeds have to pass through any JSON library unharmed: 2^53 and 2^63 - 1. */
#define REPORT_COUNT_MAX (UINT64_C(1) << 53)
#define REPORT_SEED_MAX ((uint64_t)INT64_MAX)

struct report_counted {
	uint64_t steps;		     /* requests that the workload made: the clock of exposure */
	uint64_t requests_satisfied; /* of those: every page was in the right state already */
	uint64_t hypercalls_share;   /* MEM_SHARE calls that the guest made, one a 4 KiB page */
	uint64_t hypercalls_unshare;
	uint64_t hypercalls_failed;
	uint64_t ranged_calls; /* what a hypercall with a page count would have taken */
	uint64_t exits_donate; /* stage-2 faults that made the host give a page to the guest */
	uint64_t exits_mmio;   /* exits to the VMM: the guest reporting to the tool */
	uint64_t pages_requested;
	uint64_t pages_satisfied; /* asked for and in the right state already */
	uint64_t pages_converted; /* shared or unshared, widened ones included */
	uint64_t pages_widened;	  /* over-converted: share requests only, pages unasked by then */
	uint64_t pages_refused;	  /* asked for, but no whole grain */
	uint64_t pages_kept;	  /* given back, but their grain was still in use */
	uint64_t exposed_peak;	  /* most over-converted pages at one time */
	uint64_t exposed_page_steps; /* over-converted pages, summed over all steps */
	uint64_t exposed_longest;    /* steps that the longest-exposed page stayed so */
	uint64_t probes;	     /* reads of guest memory that the host tried */
	uint64_t probes_refused;     /* of those: the MMU refused */
	uint64_t probes_wrong;	     /* MMU and tracker disagreed; anything but 0 is a bug */
	uint64_t folios_whole;	     /* folios with all pages in one state at the end */
	uint64_t folios_mixed;	     /* folios with both secure and shared pages */
	uint64_t holes;		     /* runs of shared pages inside mixed folios */
	uint64_t hole_pages;
};

/* Leaves by log2 of their size in bytes. */
struct report_leaves {
	uint64_t count[REPORT_LEAF_LG2_MAX];
};

struct report_modelled {
	struct report_leaves before; /* the largest legal leaves, all pages secure */
	struct report_leaves after;  /* the same at the end of the workload */
};

struct report_timed {
	double seconds;	      /* the whole row, guest start to guest end */
	double share_seconds; /* inside the guest's MEM_SHARE loops, by its own counter */
	double unshare_seconds;
	uint64_t kvm_exits; /* KVM's own count; host interrupts make it vary */
};

struct report_row {
	char workload[REPORT_NAME_MAX];
	char backing[REPORT_NAME_MAX]; /* anon, thp, memfd */
	char grain[REPORT_NAME_MAX];   /* 4K, 16K, 64K, 2M, folio */
	char policy[REPORT_NAME_MAX];  /* exact, widen, refuse */
	struct report_counted counted;
	struct report_modelled modelled;
	struct report_timed timed;
};

/* What the backing gave: bytes of guest RAM by log2 of the size of the folio they lie in. */
struct report_backing {
	char name[REPORT_NAME_MAX];
	uint8_t requested_lg2; /* size of folio that was asked for */
	uint64_t bytes[REPORT_LEAF_LG2_MAX];
};

struct report {
	char tool_version[REPORT_NAME_MAX];
	char board[REPORT_NAME_MAX];   /* name of the emulated board; empty on hardware */
	char machine[REPORT_NAME_MAX]; /* uname -m */
	char kernel[REPORT_NAME_MAX];  /* uname -r */
	char vm[REPORT_NAME_MAX];      /* "pkvm-protected" */
	char leaf_model[2 * REPORT_NAME_MAX];
	uint64_t seed;
	uint64_t memory; /* bytes of guest RAM */
	struct report_backing *backing;
	size_t backing_count;
	struct report_row *row;
	size_t row_count;
};

/*
 * All return 0 or an exit code of vmm/log.h, after one line with log_error(). What report_read_json()
 * allocates belongs to the report; report_free() frees it and accepts a report that was never filled
 * (all zero).
 */
int report_write_json(const struct report *report, const char *path);
int report_read_json(struct report *report, const char *path);
void report_free(struct report *report);

/*
 * Could a file be written there? Tries it and leaves nothing behind, so that hours of work are not done
 * for a file that cannot be.
 */
int report_check_output(const char *path);

/* The table that the terminal shows. */
int report_print_table(const struct report *report, FILE *out);

/* One self-contained HTML file; needs gnuplot for its plots. */
int report_write_html(const struct report *report, const char *path);

/* `stage2 report FILE.json [--html FILE]`; argv[0] is "report". */
int report_main(int argc, char **argv);

#endif

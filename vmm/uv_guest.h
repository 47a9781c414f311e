/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest of the software Ultravisor (stage2/uv.h), for --protect uv: its configuration, its CPUs, and
 * its pages in the views of uv_views.h. What a host's kernel does on s390 to run a protected guest
 * (Linux, arch/s390/kvm/pv.c) is done here, with the same calls.
 *
 * Host addresses of the Ultravisor are offsets in RAM; behind RAM follows the storage that is donated.
 *
 * Context: one thread at a time: memory's lock is held.
 */
#ifndef VMM_UV_GUEST_H
#define VMM_UV_GUEST_H

#include <ram.h>
#include <stage2/uv_backend.h>
#include <stage2/uv_openssl.h>

#include "uv_views.h"

struct uv_guest {
	struct uv_views *views;
	struct s2_uv_openssl *openssl;
	struct s2_uv uv;
	uint8_t host_key[S2_UV_KEY_BYTES];
	bool have_uv;
	s2_gpa_t base;	     /* of RAM */
	uint64_t ram_len;    /* rounded up to what the Ultravisor counts in */
	uint8_t *donated;    /* the storage behind RAM */
	uint64_t donated_at; /* bytes of it that are used */
	uint64_t handle;     /* the configuration; 0: none */
	uint64_t cpu[8];     /* handles */
	unsigned int cpu_count;
	uint64_t destroyed; /* secure pages that were cleared at the end */
	struct s2_run run;  /* RAM, for the back end */
	struct s2_uv_backend backend;
	union s2_uvcb block;
};

/*
 * Sets up the Ultravisor, a configuration for RAM and its CPUs. Returns 0, -ENOMEM, or -EIO if a call
 * failed, which says why on stderr; then nothing is left.
 */
int uv_guest_init(struct uv_guest *guest, struct uv_views *views, const struct ram *ram,
		  unsigned int cpu_count);

/*
 * Takes the guest's pages away for good, clears them, and counts that; then uv_guest_fini() is all
 * that may be called. Any number of times.
 */
void uv_guest_destroy(struct uv_guest *guest);
void uv_guest_fini(struct uv_guest *guest);

/*
 * What the loader has put into these ranges, whole pages, becomes the guest's image: encrypted as it would come from
 * the guest's owner, unpacked page by page, verified. The window is closed. 0 or -EIO, as above.
 */
int uv_guest_boot(struct uv_guest *guest, const struct s2_range *loaded, size_t count);

/*
 * Moves pages, as the engine's back end does (stage2/uv_backend.h): what a move asks of the views is done,
 * and pages that are new to the guest are secure, and zeros, before it. guest->backend.last says why
 * something failed.
 */
struct s2_answer uv_guest_convert(struct uv_guest *guest, enum s2_move move, struct s2_range range);

/* Has the page never been the guest's? */
bool uv_guest_unused(const struct uv_guest *guest, s2_gpa_t gpa);

#endif

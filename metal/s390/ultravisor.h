/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The software Ultravisor of arch/uv as this machine's: it answers every UVC, of the hypervisor by
 * its operation exception, of a guest by ultravisor_guest().
 *
 * The hypervisor runs with DAT off and cannot be kept from any page. So the host, for the tests, is
 * one more program under DAT: it sees a part of memory, the pool, at its own addresses, and a page
 * that is hidden is not mapped for it.
 */
#ifndef METAL_S390_ULTRAVISOR_H
#define METAL_S390_ULTRAVISOR_H

#include <stage2/uv.h>

#include "s390.h"
#include "uvc.h"

#define ULTRAVISOR_GUESTS 2

struct ultravisor {
	struct s2_uv uv;
	struct world *host;
	struct world *guest[ULTRAVISOR_GUESTS]; /* whose ASCEs walks know; may be NULL */
	char *pool;
	uint64_t pool_len;
	struct s2_uv_nth nth;		   /* faults on purpose */
	uint8_t host_key[S2_UV_KEY_BYTES]; /* of images */
	uint64_t traps;			   /* UVCs that came as an operation exception */
};

/* Why it cannot be had on this machine; NULL: it can. A real Ultravisor is asked QUERY, no more. */
const char *ultravisor_missing(void);

/* From here on it answers. The pool is mapped for the host. u->guest is the caller's to fill in. */
void ultravisor_open(struct ultravisor *u, struct world *host, void *pool, uint64_t pool_len);
void ultravisor_close(struct ultravisor *u);

/*
 * Runs the guest's UVC with a block at guest address gaddr, carried out for this configuration.
 * Returns the condition code that the guest has seen; or, below 0, what the host has to see to
 * first, and the guest then repeats the instruction: the same call again. ULTRAVISOR_LOST: the
 * guest did something else.
 */
#define ULTRAVISOR_LOST (-1000)
int ultravisor_guest(struct ultravisor *u, struct world *w, uint64_t handle, uint64_t gaddr);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* What the library needs from its embedder. There are no globals: everything arrives here. */
#ifndef STAGE2_ENV_H
#define STAGE2_ENV_H

#include <stage2/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The environment. The structure is copied by the init calls; the cookie must outlive the object.
 *
 * Locks: alloc and free are called from inside the call that needs them, under whatever lock the
 * embedder holds for that call. The library takes no locks of its own.
 */
struct s2_env {
	/* At least size bytes, aligned for any type, contents undefined; NULL if there are none. */
	void *(*alloc)(void *cookie, size_t size);
	/* Takes back what alloc returned; size is what was asked for. Never called with NULL. */
	void (*free)(void *cookie, void *ptr, size_t size);
	void *cookie;
};

#ifdef __cplusplus
}
#endif
#endif

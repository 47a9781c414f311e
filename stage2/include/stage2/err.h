/* SPDX-License-Identifier: BSD-2-Clause */
/* Errors: few, stable, each with one meaning. A call that returns one has changed nothing. */
#ifndef STAGE2_ERR_H
#define STAGE2_ERR_H

#include <stage2/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers are ABI: a value is never reused. */
enum s2_err {
	S2_OK = 0,

	/* The caller's request is malformed; the same request will fail again. */
	S2_ERR_INVAL = 1, /* an argument has no meaning: unknown enum value, zero length, ... */
	S2_ERR_ALIGN = 2, /* an address or a length is not a multiple of what it must be */
	S2_ERR_WRAP = 3,  /* start + len - 1 is past the last address */
	S2_ERR_RANGE = 4, /* well formed, but outside what this object covers */

	/* The request is well formed but the state of the pages does not allow it. */
	S2_ERR_STATE = 5,  /* a page is not in the state that the transition starts from */
	S2_ERR_BUSY = 6,   /* a page is in transition; finish or undo that transition first */
	S2_ERR_POISON = 7, /* a page has a hardware error: nobody may use it */
	S2_ERR_EXPOSE = 8, /* would show the host bytes that the guest did not offer by name */

	/* The world outside the library. */
	S2_ERR_NOMEM = 9,    /* the environment's allocator had no memory */
	S2_ERR_BACKEND = 10, /* the back end refused; the pages that it did convert are converted */

	/* Page tables. */
	S2_ERR_EXISTS = 11,  /* something else is mapped there already */
	S2_ERR_OVERLAP = 12, /* the runs of one call overlap, or are not in order of gpa */
	S2_ERR_FORMAT = 13,  /* the page-table format cannot say this */
	S2_ERR_MIXED = 14,   /* not one leaf: holes, or unlike pages, or not contiguous */
	S2_ERR_ABSENT = 15,  /* nothing is mapped there, or not with the right that is needed */

	/* A transition that has begun and waits: nothing is lost, the same call goes on. */
	S2_ERR_AGAIN = 16, /* the back end wants to be called again */
	S2_ERR_HELD =
		17, /* somebody holds a page: it is pinned, or in use; once let go, try again */

	S2_ERR_COUNT
};

/*
 * One lower-case English phrase without a full stop; static storage. For a value that is not in
 * the enum, "unknown error".
 */
const char *s2_strerror(enum s2_err err);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include <stage2/err.h>

const char *s2_strerror(enum s2_err err)
{
	static const char *const text[S2_ERR_COUNT] = {
		[S2_OK] = "success",
		[S2_ERR_INVAL] = "an argument has no meaning",
		[S2_ERR_ALIGN] = "an address or a length is not aligned",
		[S2_ERR_WRAP] = "the range wraps around the address space",
		[S2_ERR_RANGE] = "outside what the object covers",
		[S2_ERR_STATE] = "a page is not in the state that the move starts from",
		[S2_ERR_BUSY] = "a page is in transition",
		[S2_ERR_POISON] = "a page has a hardware error",
		[S2_ERR_EXPOSE] = "would show the host what the guest did not offer",
		[S2_ERR_NOMEM] = "out of memory",
		[S2_ERR_BACKEND] = "the back end refused",
		[S2_ERR_EXISTS] = "something else is mapped there already",
		[S2_ERR_OVERLAP] = "the runs overlap or are out of order",
		[S2_ERR_FORMAT] = "the page-table format cannot say this",
		[S2_ERR_MIXED] = "the pages do not make one leaf",
		[S2_ERR_ABSENT] = "nothing is mapped there",
		[S2_ERR_AGAIN] = "the back end wants to be called again",
		[S2_ERR_HELD] = "a page is pinned or in use",
	};

	return (unsigned)err < S2_ERR_COUNT ? text[err] : "unknown error";
}

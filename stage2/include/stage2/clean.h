/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which folios need no cache maintenance before a guest may see them: cleaned once, remembered, so
 * that the second mapping of a folio pays nothing. Linux keeps one bit per folio for this
 * (PG_arch_1, "dcache clean") and loses it for the tails when a folio is split; here it is a bit per
 * page, so that a folio that is split or merged needs no call: it is clean if all its pages are.
 *
 * Two marks a page: data (written back as far as the guest's view) and code (no stale instructions).
 *
 * Locks: none needed. Marks are set and cleared atomically; two threads may at worst clean the same
 * folio twice. A host that writes to a page calls s2_clean_forget() after the write and before the
 * guest may rely on it.
 */
#ifndef STAGE2_CLEAN_H
#define STAGE2_CLEAN_H

#include <stage2/env.h>
#include <stage2/err.h>
#include <stage2/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum s2_clean_mark {
	S2_CLEAN_DATA = 0,
	S2_CLEAN_CODE = 1,
	S2_CLEAN_MARK_COUNT
};

/* The embedder provides the memory and does not look inside. */
struct s2_clean {
	struct s2_env env;
	uint64_t start; /* host-physical page number */
	uint64_t page_count;
	uint64_t *bits[S2_CLEAN_MARK_COUNT];
};

/*
 * Marks for the pages of [start, start + len); all unset. Two bits a page.
 * Fails with S2_ERR_INVAL, S2_ERR_ALIGN, S2_ERR_WRAP for the range, or S2_ERR_NOMEM; then nothing
 * is left behind.
 */
S2_NODISCARD enum s2_err s2_clean_init(struct s2_clean *c, const struct s2_env *env, s2_hpa_t start,
				       uint64_t len);
void s2_clean_fini(struct s2_clean *c);

/* Are all pages of [start, start + len) marked? Pages outside what the object covers are not. */
bool s2_clean_test(const struct s2_clean *c, enum s2_clean_mark mark, s2_hpa_t start, uint64_t len);

/* Marks these pages; those outside are left alone. */
void s2_clean_set(struct s2_clean *c, enum s2_clean_mark mark, s2_hpa_t start, uint64_t len);

/* The host has written to these pages: they are neither clean nor free of stale code. */
void s2_clean_forget(struct s2_clean *c, s2_hpa_t start, uint64_t len);

#ifdef __cplusplus
}
#endif
#endif

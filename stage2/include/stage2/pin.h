/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins: the host needs these shared pages to stay shared, because a device or a thread of its own is
 * using them. A pinned page can be neither unshared nor reclaimed: the engine answers S2_ERR_HELD,
 * and the guest has to wait until the host has let go. A hardware error ends it all the same: poison
 * does not ask.
 *
 * Pins count: a page is pinned until each pin was undone.
 *
 * Context: the engine's.
 */
#ifndef STAGE2_PIN_H
#define STAGE2_PIN_H

#include <stage2/env.h>
#include <stage2/err.h>
#include <stage2/track.h>
#include <stage2/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A maximal stretch of pages that are pinned equally often; in page numbers, half-open. */
struct s2_pin {
	uint64_t start;
	uint64_t end;
	uint64_t count;
};

/* Public size, private contents. Memory: one struct s2_pin a stretch, not a page. */
struct s2_pins {
	struct s2_env env;
	struct s2_pin *pin; /* sorted, not overlapping */
	size_t pin_count;
	size_t capacity;
	uint64_t page_count; /* pages that are pinned at least once */
};

/* No pins. Cannot fail. Owns memory once there are some, until s2_pins_fini(). */
void s2_pins_init(struct s2_pins *p, const struct s2_env *env);
void s2_pins_fini(struct s2_pins *p);

/*
 * Pins every page of the range once more. All must be SHARED, and because the guest asked for it:
 * a widened share is nobody's to use.
 * Fails, and changes nothing: the range errors; S2_ERR_RANGE outside the tracker; S2_ERR_BUSY,
 * S2_ERR_POISON, S2_ERR_STATE, S2_ERR_EXPOSE (widened) for the first page that is not; S2_ERR_NOMEM.
 */
S2_NODISCARD enum s2_err s2_pin(struct s2_pins *p, const struct s2_track *t, struct s2_range range);

/*
 * Undoes one pin of every page of the range.
 * Fails, and changes nothing: the range errors; S2_ERR_STATE if a page is not pinned; S2_ERR_NOMEM if
 * the range is not what was pinned.
 */
S2_NODISCARD enum s2_err s2_unpin(struct s2_pins *p, struct s2_range range);

/* The first pinned page of a range that s2_range_check() accepts; false if there is none. */
bool s2_pinned(const struct s2_pins *p, struct s2_range range, s2_gpa_t *first);

#ifdef __cplusplus
}
#endif
#endif

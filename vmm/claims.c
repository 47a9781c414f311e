/* SPDX-License-Identifier: BSD-2-Clause */
#include "claims.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "guard.h"
#include "log.h"
#include "memory.h"
#include "protect.h"

#define LIES_LOGGED 8 /* a guest must not be able to fill a disk with our complaints */

static struct s2_range one_page(s2_gpa_t gpa)
{
	return s2_range(s2_gpa(gpa.val & ~(S2_PAGE_SIZE - 1)), S2_PAGE_SIZE);
}

static bool is_shared(const struct memory *memory, s2_gpa_t gpa)
{
	struct s2_page page;

	return !s2_track_get(&memory->track, gpa, &page) && page.state == S2_SHARED &&
	       !page.widened;
}

static void count_lie(struct claims *claims, uint64_t gpa)
{
	if (claims->count.lies++ < LIES_LOGGED) {
		log_note("the guest says that it shares gpa 0x%" PRIx64
			 ", but the host cannot read it: not taken",
			 gpa);
	}
}

/* Forgets claim number i. */
static void forget(struct claims *claims, size_t i)
{
	claims->open_count--;
	memmove(&claims->open[i], &claims->open[i + 1],
		(claims->open_count - i) * sizeof(claims->open[0]));
	if (i < claims->open_old) {
		claims->open_old--;
	}
}

/* A report explains why claims of these pages were refused. */
static void explain(struct claims *claims, struct s2_range range)
{
	for (size_t i = claims->open_count; i-- > 0;) {
		if (claims->open[i] - range.start.val < range.len) {
			claims->count.early++;
			forget(claims, i);
		}
	}
}

static void refuse(struct claims *claims, s2_gpa_t page)
{
	if (claims->open_count == CLAIMS_OPEN_MAX) {
		count_lie(claims, claims->open[0]);
		forget(claims, 0);
	}
	claims->open[claims->open_count++] = page.val;
}

static void convert(struct memory *memory, enum s2_move move, struct s2_range range,
		    uint64_t *counter)
{
	const uint64_t pages = range.len / S2_PAGE_SIZE;

	if (!range.len) {
		return;
	}
	if (memory_convert(memory, move, range)) {
		memory->claims.count.idle += pages;
	} else {
		*counter += pages;
	}
}

/* Secure pages that the guest says it shares: those that we can read, in runs. */
static uint64_t take_share(struct memory *memory, struct s2_range range)
{
	struct claims *claims = &memory->claims;
	s2_gpa_t start = range.start;
	uint64_t refused = 0;

	for (uint64_t offset = 0; offset < range.len; offset += S2_PAGE_SIZE) {
		const s2_gpa_t page = s2_gpa(range.start.val + offset);
		const enum guard_err err = memory_touch(memory, page);

		if (err) {
			convert(memory, S2_SHARE, s2_range(start, page.val - start.val),
				&claims->count.shared);
			start = s2_gpa(page.val + S2_PAGE_SIZE);
			refused += err == GUARD_REFUSED;
			if (err == GUARD_REFUSED) {
				refuse(claims, page);
			} else {
				claims->count.idle++;
			}
		} else {
			explain(claims, one_page(page));
		}
	}
	convert(memory, S2_SHARE, s2_range(start, range.start.val + range.len - start.val),
		&claims->count.shared);
	return refused;
}

uint64_t claims_take(struct memory *memory, enum s2_move move, struct s2_range range)
{
	struct claims *claims = &memory->claims;
	s2_gpa_t at = range.start;
	uint64_t refused = 0;
	struct s2_span span;

	if (move == S2_UNSHARE) {
		explain(claims, range);
	}
	for (uint64_t done = 0; done < range.len; done += span.range.len) {
		at = s2_gpa(range.start.val + done);
		if (s2_track_next(&memory->track, at, range, &span)) {
			return refused; /* cannot be: whole pages of RAM */
		}
		if (move == S2_SHARE && span.page.state == S2_SECURE && !span.page.moving) {
			refused += take_share(memory, span.range);
		} else if (move == S2_UNSHARE && span.page.state == S2_SHARED) {
			convert(memory, S2_UNSHARE, span.range, &claims->count.unshared);
		} else {
			claims->count.idle += span.range.len / S2_PAGE_SIZE;
		}
	}
	return refused;
}

bool claims_open_ring(struct memory *memory, s2_gpa_t gpa)
{
	struct claims *claims = &memory->claims;

	if (!memory->protect_ops->secret || memory->protect_ops->sees_calls ||
	    !ram_contains(&memory->ram, gpa, S2_PAGE_SIZE) || gpa.val % S2_PAGE_SIZE) {
		return false;
	}
	claims_drain(memory);
	claims_take(memory, S2_SHARE, one_page(gpa));
	if (!is_shared(memory, gpa)) {
		return false;
	}
	claims->has_ring = true;
	claims->ring_page = gpa;
	claims->ring.tail = 0;
	return true;
}

/*
 * The head, and then a copy of what it says is there: in this order, or a report would be read that is
 * not yet written. False if the page is not the host's to read any more.
 */
static bool fetch(const struct memory *memory, uint64_t *head, uint64_t report[GUEST_RING_SLOTS])
{
	const s2_gpa_t page = memory->claims.ring_page;
	const uint8_t *ring = ram_hva(&memory->ram, page);

	if (!is_shared(memory, page) ||
	    guard_read(head, ring + offsetof(struct guest_ring, head), sizeof(*head))) {
		return false;
	}
	if (*head == memory->claims.ring.tail) {
		return true; /* nothing new */
	}
	atomic_thread_fence(memory_order_acquire);
	return !guard_read(report, ring + offsetof(struct guest_ring, report),
			   GUEST_RING_SLOTS * sizeof(report[0]));
}

/* The guest lost count, and reports with it: every page that we believe shared is looked at. */
static void look_again(struct memory *memory)
{
	const struct s2_range all = memory->track.range;
	struct s2_span span;

	for (uint64_t done = 0; done < all.len; done += span.range.len) {
		if (s2_track_next(&memory->track, s2_gpa(all.start.val + done), all, &span)) {
			return;
		}
		for (uint64_t at = 0; span.page.state == S2_SHARED && at < span.range.len;
		     at += S2_PAGE_SIZE) {
			const s2_gpa_t page = s2_gpa(span.range.start.val + at);

			if (memory_touch(memory, page) == GUARD_REFUSED) {
				convert(memory, S2_UNSHARE, one_page(page),
					&memory->claims.count.untold);
			}
		}
	}
}

static void take_ring(struct memory *memory)
{
	struct claims *claims = &memory->claims;
	uint8_t *page = ram_hva(&memory->ram, claims->ring_page);
	struct ring_report report[GUEST_RING_SLOTS];
	uint64_t word[GUEST_RING_SLOTS], head;
	bool overrun;
	size_t count;

	if (!fetch(memory, &head, word)) {
		claims->has_ring = false;
		return;
	}
	if (head == claims->ring.tail) {
		return;
	}
	count = ring_take(&claims->ring, head, word, memory->track.range, report, &overrun);
	/* Before the reports are acted on: one of them may take this page away. */
	if (guard_write(page + offsetof(struct guest_ring, tail), &head, sizeof(head))) {
		claims->has_ring = false;
	}
	for (size_t i = 0; i < count; i++) {
		claims_take(memory, report[i].move, report[i].range);
	}
	if (overrun) {
		look_again(memory);
	}
}

void claims_drain(struct memory *memory)
{
	struct claims *claims = &memory->claims;

	claims->open_old = claims->open_count;
	if (claims->has_ring) {
		take_ring(memory);
	}
	/* What could have explained them was written before we looked. */
	while (claims->open_old) {
		count_lie(claims, claims->open[0]);
		forget(claims, 0);
	}
}

void claims_settle(struct memory *memory)
{
	do {
		claims_drain(memory);
	} while (memory->claims.open_count);
}

void claims_untold(struct memory *memory, s2_gpa_t gpa)
{
	if (!memory->protect_ops->secret || memory->protect_ops->sees_calls) {
		return; /* nothing is taken back behind our back: the refusal has another reason */
	}
	claims_drain(memory);
	if (is_shared(memory, gpa)) {
		convert(memory, S2_UNSHARE, one_page(gpa), &memory->claims.count.untold);
	}
}

void claims_audit(struct memory *memory, struct s2_range range, struct claims_audit *out)
{
	*out = (struct claims_audit){0};
	claims_drain(memory);
	for (uint64_t offset = 0; offset < range.len; offset += S2_PAGE_SIZE) {
		const s2_gpa_t page = s2_gpa(range.start.val + offset);
		const bool shared = is_shared(memory, page);
		const bool readable = !memory_touch(memory, page);

		out->shared += shared && readable;
		out->secure += !shared && !readable;
		out->unread += shared && !readable;
		out->unclaimed += !shared && readable;
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring.h"

bool ring_run(uint64_t word, struct s2_range ram, struct s2_range *out)
{
	const uint64_t start = word & ~(S2_PAGE_SIZE - 1);
	const uint64_t len = ((word >> 2 & (GUEST_RUN_MAX - 1)) + 1) * S2_PAGE_SIZE;
	const uint64_t offset = start - ram.start.val;

	if (start < ram.start.val || offset >= ram.len || len > ram.len - offset) {
		return false;
	}
	*out = s2_range(s2_gpa(start), len);
	return true;
}

static bool decode(uint64_t word, struct s2_range ram, struct ring_report *out)
{
	switch (word & 3) {
	case GUEST_SHARED:
		out->move = S2_SHARE;
		break;
	case GUEST_UNSHARED:
		out->move = S2_UNSHARE;
		break;
	default:
		return false;
	}
	return ring_run(word, ram, &out->range);
}

size_t ring_take(struct ring *ring, uint64_t head, const uint64_t report[GUEST_RING_SLOTS],
		 struct s2_range ram, struct ring_report out[GUEST_RING_SLOTS], bool *overrun)
{
	const uint64_t pending = head - ring->tail; /* wraps as the counts do */
	size_t count = 0;

	*overrun = pending > GUEST_RING_SLOTS;
	if (*overrun) {
		ring->overruns++;
	} else {
		for (uint64_t i = 0; i < pending; i++) {
			if (decode(report[(ring->tail + i) % GUEST_RING_SLOTS], ram, &out[count])) {
				count++;
			} else {
				ring->odd++;
			}
		}
	}
	ring->taken += count;
	ring->tail = head;
	return count;
}

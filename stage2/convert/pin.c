/* SPDX-License-Identifier: BSD-2-Clause */
/* Pins: a sorted list of stretches, each with its count. */
#include "../internal.h"
#include <stage2/pin.h>
#include <stage2/run.h>

void s2_pins_init(struct s2_pins *p, const struct s2_env *env)
{
	*p = (struct s2_pins){.env = *env};
}

void s2_pins_fini(struct s2_pins *p)
{
	if (p->pin != NULL) {
		p->env.free(p->env.cookie, p->pin, p->capacity * sizeof(*p->pin));
	}
	*p = (struct s2_pins){.env = p->env};
}

/* Index of the first stretch that ends behind a page. */
static size_t find(const struct s2_pins *p, uint64_t page)
{
	size_t low = 0;
	size_t high = p->pin_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->pin[middle].end <= page) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

/* Room for so many stretches more. */
static enum s2_err reserve(struct s2_pins *p, size_t more)
{
	size_t capacity = p->capacity == 0 ? 16 : p->capacity;
	struct s2_pin *pin;

	if (p->pin_count + more <= p->capacity) {
		return S2_OK;
	}
	while (capacity < p->pin_count + more) {
		capacity *= 2;
	}
	pin = p->env.alloc(p->env.cookie, capacity * sizeof(*pin));
	if (pin == NULL) {
		return S2_ERR_NOMEM;
	}
	if (p->pin != NULL) {
		memcpy(pin, p->pin, p->pin_count * sizeof(*pin));
		p->env.free(p->env.cookie, p->pin, p->capacity * sizeof(*pin));
	}
	p->pin = pin;
	p->capacity = capacity;
	return S2_OK;
}

static void insert(struct s2_pins *p, size_t at, struct s2_pin pin)
{
	memmove(&p->pin[at + 1], &p->pin[at], (p->pin_count - at) * sizeof(pin));
	p->pin[at] = pin;
	p->pin_count++;
}

/* Sees to it that no stretch has the page inside. Needs room for one. */
static void cut(struct s2_pins *p, uint64_t page)
{
	size_t at = find(p, page);

	if (at < p->pin_count && p->pin[at].start < page) {
		struct s2_pin tail = p->pin[at];

		p->pin[at].end = page;
		tail.start = page;
		insert(p, at + 1, tail);
	}
}

/* Drops stretches without a pin and merges like neighbours, from an index on. */
static void tidy(struct s2_pins *p, struct s2_pages pages)
{
	size_t from = find(p, pages.start == 0 ? 0 : pages.start - 1);
	size_t to = from;
	size_t at = from;

	for (; at < p->pin_count && (at == from || p->pin[at].start <= pages.end); at++) {
		struct s2_pin *last = to == from ? NULL : &p->pin[to - 1];

		if (p->pin[at].count == 0) {
			continue;
		}
		if (last != NULL && last->end == p->pin[at].start &&
		    last->count == p->pin[at].count) {
			last->end = p->pin[at].end;
		} else {
			p->pin[to++] = p->pin[at];
		}
	}
	memmove(&p->pin[to], &p->pin[at], (p->pin_count - at) * sizeof(*p->pin));
	p->pin_count -= at - to;
}

/* All pages are shared, and were offered by name. */
static enum s2_err check_offered(const struct s2_track *t, struct s2_range range)
{
	enum s2_err err = s2_track_covers(t, range);
	struct s2_pages pages;
	uint64_t page;
	unsigned code;

	if (err != S2_OK) {
		return err;
	}
	pages = s2_range_pages(range);
	page = s2_track_skip(t, pages, S2_CODE_BIT(S2_CODE_SHARED));
	if (page == pages.end) {
		return S2_OK;
	}
	code = s2_track_code(t, page);
	return code == S2_CODE_SHARED_WIDENED ? S2_ERR_EXPOSE : s2_code_err(code);
}

enum s2_err s2_pin(struct s2_pins *p, const struct s2_track *t, struct s2_range range)
{
	enum s2_err err = check_offered(t, range);
	struct s2_pages pages;
	size_t at;

	if (err != S2_OK) {
		return err;
	}
	pages = s2_range_pages(range);
	/* At most every second stretch from here on is a gap that needs a new one. */
	err = reserve(p, find(p, pages.end) - find(p, pages.start) + 3);
	if (err != S2_OK) {
		return err;
	}
	cut(p, pages.start);
	cut(p, pages.end);
	at = find(p, pages.start);
	for (uint64_t page = pages.start; page < pages.end; at++) {
		bool gap = at == p->pin_count || p->pin[at].start > page;

		if (gap) {
			uint64_t end = at == p->pin_count || p->pin[at].start > pages.end
					       ? pages.end
					       : p->pin[at].start;

			insert(p, at, (struct s2_pin){page, end, 0});
			p->page_count += end - page;
		}
		p->pin[at].count++;
		page = p->pin[at].end;
	}
	tidy(p, pages);
	return S2_OK;
}

/* Is every page pinned? */
static bool all_pinned(const struct s2_pins *p, struct s2_pages pages)
{
	for (size_t at = find(p, pages.start); pages.start < pages.end; at++) {
		if (at == p->pin_count || p->pin[at].start > pages.start) {
			return false;
		}
		pages.start = p->pin[at].end;
	}
	return true;
}

enum s2_err s2_unpin(struct s2_pins *p, struct s2_range range)
{
	enum s2_err err = s2_range_check(range);
	struct s2_pages pages;

	if (err != S2_OK) {
		return err;
	}
	pages = s2_range_pages(range);
	if (!all_pinned(p, pages)) {
		return S2_ERR_STATE;
	}
	err = reserve(p, 2);
	if (err != S2_OK) {
		return err;
	}
	cut(p, pages.start);
	cut(p, pages.end);
	for (size_t at = find(p, pages.start); at < p->pin_count && p->pin[at].start < pages.end;
	     at++) {
		p->pin[at].count--;
		if (p->pin[at].count == 0) {
			p->page_count -= p->pin[at].end - p->pin[at].start;
		}
	}
	tidy(p, pages);
	return S2_OK;
}

bool s2_pinned(const struct s2_pins *p, struct s2_range range, s2_gpa_t *first)
{
	struct s2_pages pages = s2_range_pages(range);
	size_t at = find(p, pages.start);

	if (at == p->pin_count || p->pin[at].start >= pages.end) {
		return false;
	}
	if (first != NULL) {
		uint64_t page = p->pin[at].start > pages.start ? p->pin[at].start : pages.start;

		*first = s2_gpa(page << S2_PAGE_LG2);
	}
	return true;
}

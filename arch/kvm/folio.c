/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the folios behind guest RAM from /proc/self/pagemap and /proc/kpageflags (Linux,
 * Documentation/admin-guide/mm/pagemap.rst): a large folio is a frame with COMPOUND_HEAD followed by
 * frames with COMPOUND_TAIL.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "ram.h"

#define PM_PRESENT (UINT64_C(1) << 63)
#define PM_PFN ((UINT64_C(1) << 55) - 1)

#define KPF_COMPOUND_HEAD (UINT64_C(1) << 15) /* include/uapi/linux/kernel-page-flags.h */
#define KPF_COMPOUND_TAIL (UINT64_C(1) << 16)
#define KPF_HWPOISON (UINT64_C(1) << 19)
#define KPF_ZERO_PAGE (UINT64_C(1) << 24)

#define WINDOW 1024 /* entries read at a time */

/* A file of 64-bit entries, read through a window. */
struct entries {
	int fd;
	uint64_t first; /* index of window[0] */
	uint64_t count;
	uint64_t window[WINDOW];
};

static int entries_open(struct entries *entries, const char *path)
{
	entries->count = 0;
	entries->fd = open(path, O_RDONLY | O_CLOEXEC);
	return entries->fd < 0 ? -errno : 0;
}

static int entries_get(struct entries *entries, uint64_t index, uint64_t *value)
{
	if (index < entries->first || index - entries->first >= entries->count) {
		ssize_t got;

		entries->first = index - index % WINDOW;
		got = pread(entries->fd, entries->window, sizeof(entries->window),
			    (off_t)(entries->first * sizeof(uint64_t)));
		entries->count = got < 0 ? 0 : (uint64_t)got / sizeof(uint64_t);
		if (index - entries->first >= entries->count) {
			return got < 0 ? -errno : -ENODATA;
		}
	}
	*value = entries->window[index - entries->first];
	return 0;
}

/* A folio as frames: the first one and the order. */
struct folio {
	uint64_t pfn;
	uint8_t order;
	bool zero; /* the kernel's page of zeros: whoever only reads gets it, nobody owns it */
};

/*
 * The folio that holds a frame. Flags are read while the folio may be split by the kernel, so what
 * does not look like a whole folio, a power of two and naturally aligned, counts as a single page.
 */
static int folio_find(struct entries *flags, uint64_t pfn, struct folio *out)
{
	const uint64_t limit = UINT64_C(1) << S2_FOLIO_ORDER_MAX;
	uint64_t head = pfn, count = 1, value;
	int err = entries_get(flags, head, &value);

	*out = (struct folio){.pfn = pfn, .zero = !err && (value & KPF_ZERO_PAGE)};
	while (!err && (value & KPF_COMPOUND_TAIL) && head > 0 && pfn - head < limit) {
		err = entries_get(flags, --head, &value);
	}
	if (err || !(value & KPF_COMPOUND_HEAD)) {
		return err;
	}
	while (count < limit && !entries_get(flags, head + count, &value) &&
	       (value & KPF_COMPOUND_TAIL)) {
		count++;
	}
	if ((count & (count - 1)) == 0 && (head & (count - 1)) == 0 && pfn - head < count) {
		out->pfn = head;
		while ((UINT64_C(1) << out->order) < count) {
			out->order++;
		}
	}
	return 0;
}

/* A growing array of runs. */
struct run_list {
	struct s2_run *run;
	size_t count;
	size_t size;
};

/* Appends a page of a folio, to the last run if it continues that. */
static int append_page(struct run_list *list, s2_gpa_t gpa, uint64_t pfn, uint8_t order)
{
	struct s2_run page = {gpa, s2_hpa(pfn << S2_PAGE_LG2), S2_PAGE_SIZE, order};

	if (list->count && s2_run_can_merge(&list->run[list->count - 1], &page)) {
		list->run[list->count - 1].len += S2_PAGE_SIZE;
		return 0;
	}
	if (list->count == list->size) {
		size_t size = list->size ? 2 * list->size : 256;
		struct s2_run *run = realloc(list->run, size * sizeof(*run));

		if (!run) {
			return -ENOMEM;
		}
		list->run = run;
		list->size = size;
	}
	list->run[list->count++] = page;
	return 0;
}

static int walk_pages(const struct ram *ram, struct entries *pagemap, struct entries *flags,
		      struct run_list *list)
{
	struct folio folio = {0};
	bool known = false;

	for (uint64_t offset = 0; offset < ram->len; offset += S2_PAGE_SIZE) {
		uint64_t value, pfn;
		int err = entries_get(pagemap, (ram->hva.val + offset) >> S2_PAGE_LG2, &value);

		if (err) {
			return err;
		}
		if (!(value & PM_PRESENT)) {
			continue;
		}
		pfn = value & PM_PFN;
		if (pfn == 0) {
			return -EPERM; /* hidden: frame 0 is never guest memory */
		}
		if (!known || (pfn - folio.pfn) >> folio.order) {
			err = folio_find(flags, pfn, &folio);
			known = true;
		}
		if (!err && !folio.zero) {
			err = append_page(list, s2_gpa(ram->gpa.val + offset), pfn, folio.order);
		}
		if (err) {
			return err;
		}
	}
	return 0;
}

/* Opens both files; entries_pair_close() is owed even if that fails. */
static int entries_pair_open(struct entries *pair)
{
	int err = entries_open(&pair[0], "/proc/self/pagemap");

	pair[1].fd = -1;
	if (!err) {
		err = entries_open(&pair[1], "/proc/kpageflags");
	}
	return err == -EACCES ? -EPERM : err; /* who gave up root may not read its own pagemap */
}

static void entries_pair_close(struct entries *pair)
{
	for (int i = 0; i < 2; i++) {
		if (pair[i].fd >= 0) {
			close(pair[i].fd);
		}
	}
	free(pair);
}

int ram_find_runs(struct ram *ram)
{
	struct entries *pair = calloc(2, sizeof(*pair));
	struct run_list list = {0};
	int err;

	if (!pair) {
		return -ENOMEM;
	}
	err = entries_pair_open(pair);
	if (!err) {
		err = walk_pages(ram, &pair[0], &pair[1], &list);
	}
	entries_pair_close(pair);
	if (err) {
		free(list.run);
		return err;
	}
	free(ram->run);
	ram->run = list.run;
	ram->run_count = list.count;
	return 0;
}

/* Is the page at hva there, and marked as broken? */
static int page_is_broken(struct entries *pair, uint64_t hva, bool *broken)
{
	uint64_t value, flags = 0;
	int err = entries_get(&pair[0], hva >> S2_PAGE_LG2, &value);

	if (!err && (value & PM_PRESENT)) {
		err = value & PM_PFN ? entries_get(&pair[1], value & PM_PFN, &flags) : -EPERM;
	}
	*broken = flags & KPF_HWPOISON;
	return err;
}

int ram_next_broken(const struct ram *ram, struct s2_range range, s2_gpa_t *out)
{
	struct entries *pair = calloc(2, sizeof(*pair));
	bool broken = false;
	uint64_t at = 0;
	int err;

	if (!pair) {
		return -ENOMEM;
	}
	err = entries_pair_open(pair);
	while (!err && at < range.len) {
		*out = s2_gpa(range.start.val + at);
		err = page_is_broken(pair, (uint64_t)(uintptr_t)ram_hva(ram, *out), &broken);
		if (broken) {
			break;
		}
		at += S2_PAGE_SIZE;
	}
	entries_pair_close(pair);
	return err ? err : broken;
}

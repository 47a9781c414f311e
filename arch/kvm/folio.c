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

int ram_find_runs(struct ram *ram)
{
	struct entries *pagemap = calloc(2, sizeof(*pagemap));
	struct run_list list = {0};
	int err;

	if (!pagemap) {
		return -ENOMEM;
	}
	pagemap[1].fd = -1;
	err = entries_open(&pagemap[0], "/proc/self/pagemap");
	if (!err) {
		err = entries_open(&pagemap[1], "/proc/kpageflags");
	}
	if (err == -EACCES) {
		err = -EPERM; /* pagemap too: a process that gave up root may not read its own */
	}
	if (!err) {
		err = walk_pages(ram, &pagemap[0], &pagemap[1], &list);
	}
	for (int i = 0; i < 2; i++) {
		if (pagemap[i].fd >= 0) {
			close(pagemap[i].fd);
		}
	}
	free(pagemap);
	if (err) {
		free(list.run);
		return err;
	}
	free(ram->run);
	ram->run = list.run;
	ram->run_count = list.count;
	return 0;
}

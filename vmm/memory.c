/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory.h"

#include <inttypes.h>
#include <stdlib.h>

#include "guard.h"
#include "log.h"
#include "protect.h"

static void *env_alloc(void *cookie, size_t size)
{
	(void)cookie;
	return malloc(size);
}

static void env_free(void *cookie, void *ptr, size_t size)
{
	(void)cookie;
	(void)size;
	free(ptr);
}

enum s2_err memory_init(struct memory *memory, const struct protect_ops *ops, const struct ram *ram,
			bool owned)
{
	const struct s2_env env = {.alloc = env_alloc, .free = env_free};
	enum s2_err err = s2_track_init(&memory->track, &env, s2_range(ram->gpa, ram->len));

	if (err) {
		return err;
	}
	pthread_mutex_init(&memory->lock, NULL);
	memory->protect_ops = ops;
	memory->protect = NULL;
	memory->ram = *ram;
	memory->owned = owned;
	memory->started = false;
	return S2_OK;
}

void memory_fini(struct memory *memory)
{
	if (memory->protect_ops->fini) {
		memory->protect_ops->fini(memory);
	}
	s2_track_fini(&memory->track);
	pthread_mutex_destroy(&memory->lock);
	if (memory->owned) {
		ram_fini(&memory->ram);
	}
}

void memory_lock(struct memory *memory)
{
	pthread_mutex_lock(&memory->lock);
}

void memory_unlock(struct memory *memory)
{
	pthread_mutex_unlock(&memory->lock);
}

void *memory_load(struct memory *memory, s2_gpa_t gpa, uint64_t len)
{
	if (memory->started || !ram_contains(&memory->ram, gpa, len)) {
		return NULL;
	}
	return ram_hva(&memory->ram, gpa);
}

enum s2_err memory_start(struct memory *memory)
{
	enum s2_err err = s2_track_move(&memory->track, memory->track.range, S2_DONATE, false);

	if (!err && !memory->protect_ops->secret) {
		err = s2_track_move(&memory->track, memory->track.range, S2_SHARE, false);
	}
	if (!err) {
		memory->started = true; /* for good: a second start fails and changes nothing */
	}
	return err;
}

enum s2_err memory_convert(struct memory *memory, enum s2_move move, struct s2_range range)
{
	return s2_track_move(&memory->track, range, move, false);
}

static enum memory_err guest_move(struct memory *memory, enum s2_move move, struct s2_range range)
{
	enum s2_err err;

	if (!ram_contains(&memory->ram, range.start, range.len)) {
		return MEMORY_OUTSIDE;
	}
	memory_lock(memory);
	err = memory_convert(memory, move, range);
	memory_unlock(memory);
	return err ? MEMORY_STATE : MEMORY_OK;
}

enum memory_err memory_guest_share(struct memory *memory, struct s2_range range)
{
	return guest_move(memory, S2_SHARE, range);
}

enum memory_err memory_guest_unshare(struct memory *memory, struct s2_range range)
{
	return guest_move(memory, S2_UNSHARE, range);
}

/* Bytes from gpa to the end of its page. */
static uint64_t to_page_end(s2_gpa_t gpa)
{
	return S2_PAGE_SIZE - (gpa.val & (S2_PAGE_SIZE - 1));
}

/* Is every byte in pages that the guest itself has shared? If not, *secure is the first that is not. */
static bool offered(const struct memory *memory, s2_gpa_t gpa, uint64_t len, s2_gpa_t *secure)
{
	for (uint64_t done = 0; done < len; done += to_page_end(s2_gpa(gpa.val + done))) {
		struct s2_page page;

		*secure = s2_gpa(gpa.val + done);
		if (s2_track_get(&memory->track, *secure, &page) || page.state != S2_SHARED ||
		    page.widened) {
			return false;
		}
	}
	return true;
}

/* Copies page by page, so that *secure can be the first place that the MMU refuses. */
static bool copy(const struct memory *memory, s2_gpa_t gpa, void *to, const void *from, size_t len,
		 s2_gpa_t *secure)
{
	bool ok = true;

	for (size_t done = 0; ok && done < len;) {
		const s2_gpa_t at = s2_gpa(gpa.val + done);
		const size_t page = (size_t)to_page_end(at);
		const size_t part = len - done < page ? len - done : page;
		void *guest = ram_hva(&memory->ram, at);

		*secure = at;
		ok = to ? guard_read((uint8_t *)to + done, guest, part)
			: guard_write(guest, (const uint8_t *)from + done, part);
		done += part;
	}
	return ok;
}

/* One access, either way: what the tracker allows is tried, what the MMU refuses is caught. */
static enum memory_err transfer(struct memory *memory, s2_gpa_t gpa, void *to, const void *from,
				size_t len)
{
	s2_gpa_t secure = gpa;
	bool ok;

	if (!len || !ram_contains(&memory->ram, gpa, len)) {
		return len ? MEMORY_OUTSIDE : MEMORY_OK;
	}
	/* The lock is held over the access, so that "shared" stays true as far as we can know it. */
	memory_lock(memory);
	ok = offered(memory, gpa, len, &secure) && copy(memory, gpa, to, from, len, &secure);
	memory_unlock(memory);
	if (!ok) {
		log_error("gpa 0x%" PRIx64 " is secure: the host may not %s it", secure.val,
			  to ? "read" : "write");
		return MEMORY_SECURE;
	}
	return MEMORY_OK;
}

enum memory_err memory_read(struct memory *memory, s2_gpa_t gpa, void *to, size_t len)
{
	return transfer(memory, gpa, to, NULL, len);
}

enum memory_err memory_write(struct memory *memory, s2_gpa_t gpa, const void *from, size_t len)
{
	return transfer(memory, gpa, NULL, from, len);
}

bool memory_probe(struct memory *memory, s2_gpa_t gpa, uint64_t *value)
{
	*value = 0;
	return ram_contains(&memory->ram, gpa, sizeof(*value)) &&
	       guard_read(value, ram_hva(&memory->ram, gpa), sizeof(*value));
}

struct s2_page memory_page(struct memory *memory, s2_gpa_t gpa)
{
	struct s2_page page = {.state = S2_NONE};
	enum s2_err err;

	memory_lock(memory);
	err = s2_track_get(&memory->track, gpa, &page);
	memory_unlock(memory);
	return err ? (struct s2_page){.state = S2_NONE} : page;
}

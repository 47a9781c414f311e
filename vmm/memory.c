/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory.h"

#include <inttypes.h>
#include <stdlib.h>

#include "guard.h"
#include "log.h"
#include "protect.h"

#define AGAIN_MAX 8 /* times that a back end is asked once more before the request waits */

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

const struct s2_env memory_env = {.alloc = env_alloc, .free = env_free};

enum s2_err memory_init(struct memory *memory, const struct protect_ops *ops, const struct ram *ram,
			bool owned)
{
	enum s2_err err = s2_track_init(&memory->track, &memory_env, s2_range(ram->gpa, ram->len));

	if (err) {
		return err;
	}
	pthread_mutex_init(&memory->lock, NULL);
	memory->backend = (struct s2_backend){.convert = ops->convert, .cookie = memory};
	memory->engine = (struct s2_engine){.track = &memory->track,
					    .backend = ops->convert ? &memory->backend : NULL};
	memory->job = (struct s2_job){.phase = S2_JOB_IDLE};
	memory->conversions = 0;
	memory->loaded_count = 0;
	memory->protect_ops = ops;
	memory->protect = NULL;
	memory->claims = (struct claims){0};
	memory->poisoned = 0;
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

bool memory_has_room(const struct memory *memory, s2_gpa_t gpa, uint64_t len)
{
	return !memory->started && ram_contains(&memory->ram, gpa, len);
}

void *memory_load(struct memory *memory, s2_gpa_t gpa, uint64_t len)
{
	const uint64_t offset = gpa.val & (S2_PAGE_SIZE - 1);
	const uint64_t pages = (offset + len + S2_PAGE_SIZE - 1) & ~(S2_PAGE_SIZE - 1);

	if (!memory_has_room(memory, gpa, len) || memory->loaded_count == MEMORY_LOADED_MAX) {
		return NULL;
	}
	if (pages) {
		memory->loaded[memory->loaded_count++] = s2_range(s2_gpa(gpa.val - offset), pages);
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
	/* No grain cuts a request: a back end is asked once for all of it. */
	const struct s2_request request = {
		.move = move, .range = range, .grain = UINT64_C(1) << 40, .policy = S2_EXACT};
	enum s2_err err = s2_convert_resume(&memory->engine, &memory->job);

	if (!err) {
		__atomic_fetch_add(&memory->conversions, 1, __ATOMIC_RELEASE);
		err = s2_convert(&memory->engine, &request, &memory->job);
	}
	for (int again = 0; err == S2_ERR_AGAIN && again < AGAIN_MAX; again++) {
		err = s2_convert_resume(&memory->engine, &memory->job);
	}
	/* What failed goes back; what wants to be called again stays, and goes on before the next. */
	if (err == S2_ERR_BACKEND && s2_convert_stop(&memory->engine, &memory->job)) {
		err = S2_ERR_STATE;
	}
	return err;
}

/*
 * Are all pages in that state? A guest's page is its own while the host has it sealed: EXPORTED counts as
 * SECURE, and *sealed is the first such span.
 */
static bool all_are(const struct memory *memory, struct s2_range range, enum s2_state state,
		    struct s2_span *sealed)
{
	struct s2_span span;

	sealed->range.len = 0;
	for (uint64_t done = 0; done < range.len; done += span.range.len) {
		if (s2_track_next(&memory->track, s2_gpa(range.start.val + done), range, &span) ||
		    span.page.moving) {
			return false;
		}
		if (span.page.state == S2_EXPORTED && state == S2_SECURE) {
			*sealed = sealed->range.len ? *sealed : span;
		} else if (span.page.state != state) {
			return false;
		}
	}
	return true;
}

static enum memory_err guest_move(struct memory *memory, enum s2_move move, enum s2_state from,
				  struct s2_range range)
{
	enum memory_err err = MEMORY_OK;
	struct s2_span sealed;
	bool ok;

	if (!ram_contains(&memory->ram, range.start, range.len)) {
		return MEMORY_OUTSIDE;
	}
	memory_lock(memory);
	sealed.range.len = 0;
	/* What an earlier move has left half done may be these pages. */
	ok = !s2_convert_resume(&memory->engine, &memory->job) &&
	     (memory->protect_ops->idempotent || all_are(memory, range, from, &sealed));
	while (ok && sealed.range.len) {
		ok = !memory_convert(memory, S2_IMPORT, sealed.range) &&
		     all_are(memory, range, from, &sealed);
	}
	if (!ok || memory_convert(memory, move, range)) {
		err = MEMORY_STATE;
	}
	memory_unlock(memory);
	return err;
}

enum memory_err memory_guest_share(struct memory *memory, struct s2_range range)
{
	return guest_move(memory, S2_SHARE, S2_SECURE, range);
}

enum memory_err memory_guest_unshare(struct memory *memory, struct s2_range range)
{
	return guest_move(memory, S2_UNSHARE, S2_SHARED, range);
}

enum memory_err memory_claim(struct memory *memory, enum s2_move move, struct s2_range range)
{
	const struct claims_count *count = &memory->claims.count;
	enum memory_err err = MEMORY_OUTSIDE;
	uint64_t done;

	if (s2_range_check(range) || !ram_contains(&memory->ram, range.start, range.len)) {
		return err;
	}
	memory_lock(memory);
	claims_drain(memory);
	done = count->shared + count->unshared;
	err = claims_take(memory, move, range) ? MEMORY_SECURE : MEMORY_OK;
	if (!err && done == count->shared + count->unshared) {
		err = MEMORY_STATE;
	}
	memory_unlock(memory);
	return err;
}

bool memory_open_ring(struct memory *memory, s2_gpa_t gpa)
{
	bool open;

	memory_lock(memory);
	open = claims_open_ring(memory, gpa);
	memory_unlock(memory);
	return open;
}

void memory_drain(struct memory *memory)
{
	memory_lock(memory);
	claims_drain(memory);
	memory_unlock(memory);
}

void memory_audit(struct memory *memory, struct s2_range range, struct claims_audit *out)
{
	memory_lock(memory);
	claims_audit(memory, range, out);
	memory_unlock(memory);
}

static bool is_poisoned(const struct memory *memory, s2_gpa_t gpa)
{
	struct s2_page page;

	return !s2_track_get(&memory->track, gpa, &page) && page.state == S2_POISONED;
}

bool memory_poison(struct memory *memory, s2_gpa_t gpa)
{
	if (is_poisoned(memory, gpa)) {
		return true;
	}
	if (s2_convert_poison(&memory->engine, s2_range(gpa, S2_PAGE_SIZE))) {
		log_error("memory error at gpa 0x%" PRIx64 ", and no memory to note it", gpa.val);
		return false;
	}
	memory->poisoned++;
	log_error("memory error: the page at gpa 0x%" PRIx64
		  " is lost, and a guest that uses it gets an abort",
		  gpa.val);
	return true;
}

/* An access to the page at gpa failed: the tracker is brought in line with what the MMU said. */
static void learn(struct memory *memory, s2_gpa_t gpa, enum guard_err err)
{
	const s2_gpa_t page = s2_gpa(gpa.val & ~(S2_PAGE_SIZE - 1));

	if (err == GUARD_POISON) {
		memory_poison(memory, page);
	} else if (err == GUARD_REFUSED) {
		claims_untold(memory, page);
	}
}

enum guard_err memory_touch(struct memory *memory, s2_gpa_t gpa)
{
	enum guard_err err = GUARD_POISON;
	uint8_t dropped;

	if (!is_poisoned(memory, gpa)) {
		err = guard_read(&dropped, ram_hva(&memory->ram, gpa), sizeof(dropped));
	}
	if (err == GUARD_POISON) {
		learn(memory, gpa, err);
	}
	return err;
}

/* Bytes from gpa to the end of its page. */
static uint64_t to_page_end(s2_gpa_t gpa)
{
	return S2_PAGE_SIZE - (gpa.val & (S2_PAGE_SIZE - 1));
}

/* Is every byte in pages that the guest itself has shared? If not, *at is the first that is not. */
static enum memory_err offered(const struct memory *memory, s2_gpa_t gpa, uint64_t len,
			       s2_gpa_t *at)
{
	for (uint64_t done = 0; done < len; done += to_page_end(s2_gpa(gpa.val + done))) {
		struct s2_page page = {.state = S2_NONE};

		*at = s2_gpa(gpa.val + done);
		if (s2_track_get(&memory->track, *at, &page) || page.state != S2_SHARED ||
		    page.widened) {
			return page.state == S2_POISONED ? MEMORY_POISON : MEMORY_SECURE;
		}
	}
	return MEMORY_OK;
}

static enum guard_err guarded(void *guest, void *to, const void *from, size_t len)
{
	return to ? guard_read(to, guest, len) : guard_write(guest, from, len);
}

/*
 * Within a page. What the MMU refuses is tried again if the kind of protection lets it. A page that is
 * known to be broken is not tried: where it is pinned, the MMU would let us.
 */
static enum guard_err copy_part(struct memory *memory, s2_gpa_t gpa, void *to, const void *from,
				size_t len)
{
	enum memory_err (*host_access)(struct memory *, s2_gpa_t) =
		memory->protect_ops->host_access;
	void *guest = ram_hva(&memory->ram, gpa);
	enum guard_err err = GUARD_POISON;

	if (!is_poisoned(memory, gpa)) {
		err = guarded(guest, to, from, len);
	}
	if (err == GUARD_REFUSED && host_access && !host_access(memory, gpa)) {
		err = guarded(guest, to, from, len);
	}
	return err;
}

/* Copies page by page, so that *at can be the first place that the MMU refuses. */
static enum memory_err copy(struct memory *memory, s2_gpa_t gpa, void *to, const void *from,
			    size_t len, s2_gpa_t *at)
{
	enum guard_err err = GUARD_OK;

	for (size_t done = 0; !err && done < len;) {
		const size_t page = (size_t)to_page_end(s2_gpa(gpa.val + done));
		const size_t part = len - done < page ? len - done : page;

		*at = s2_gpa(gpa.val + done);
		err = copy_part(memory, *at, to ? (uint8_t *)to + done : NULL,
				to ? NULL : (const uint8_t *)from + done, part);
		done += part;
	}
	learn(memory, *at, err);
	return err == GUARD_OK ? MEMORY_OK : err == GUARD_POISON ? MEMORY_POISON : MEMORY_SECURE;
}

/* One access, either way: what the tracker allows is tried, what the MMU refuses is caught. */
static enum memory_err transfer(struct memory *memory, s2_gpa_t gpa, void *to, const void *from,
				size_t len)
{
	s2_gpa_t at = gpa;
	enum memory_err err;

	if (!len || !ram_contains(&memory->ram, gpa, len)) {
		return len ? MEMORY_OUTSIDE : MEMORY_OK;
	}
	/* The lock is held over the access, so that "shared" stays true as far as we can know it. */
	memory_lock(memory);
	claims_drain(memory);
	err = offered(memory, gpa, len, &at);
	if (!err) {
		err = copy(memory, gpa, to, from, len, &at);
	}
	memory_unlock(memory);
	if (err) {
		log_error("gpa 0x%" PRIx64 " %s: the host may not %s it", at.val,
			  err == MEMORY_POISON ? "has a memory error" : "is secure",
			  to ? "read" : "write");
	}
	return err;
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
	s2_gpa_t refused;
	bool ok;

	*value = 0;
	if (!ram_contains(&memory->ram, gpa, sizeof(*value))) {
		return false;
	}
	memory_lock(memory);
	ok = !copy(memory, gpa, value, NULL, sizeof(*value), &refused);
	memory_unlock(memory);
	return ok;
}

bool memory_poke(struct memory *memory, s2_gpa_t gpa)
{
	s2_gpa_t refused;
	uint64_t value;
	bool ok;

	if (!ram_contains(&memory->ram, gpa, sizeof(value))) {
		return false;
	}
	memory_lock(memory);
	ok = !copy(memory, gpa, &value, NULL, sizeof(value), &refused);
	value ^= 1;
	ok = ok && !copy(memory, gpa, NULL, &value, sizeof(value), &refused);
	memory_unlock(memory);
	return ok;
}

struct s2_page memory_page(struct memory *memory, s2_gpa_t gpa)
{
	struct s2_page page = {.state = S2_NONE};
	enum s2_err err;

	memory_lock(memory);
	claims_drain(memory);
	err = s2_track_get(&memory->track, gpa, &page);
	memory_unlock(memory);
	return err ? (struct s2_page){.state = S2_NONE} : page;
}

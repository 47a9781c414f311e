/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory as the VMM sees it: every access asks the tracker first.
 *
 * Before the guest starts, its pages are NONE: they are the host's own, and the VMM loads the image.
 * When it starts, all of RAM becomes SECURE for a protected guest (it may take any page at any time),
 * SHARED for a plain one. From then on only what the guest has shared can be read or written.
 *
 * Context: any thread; a lock inside.
 */
#ifndef VMM_MEMORY_H
#define VMM_MEMORY_H

#include <pthread.h>
#include <ram.h>
#include <stage2/convert.h>

#include "claims.h"
#include "guard.h"

enum memory_err {
	MEMORY_OK = 0,
	MEMORY_OUTSIDE, /* not guest RAM */
	MEMORY_SECURE,	/* the host may not touch it: the tracker says so, or the MMU did */
	MEMORY_STATE,	/* the page cannot make that move */
	MEMORY_POISON	/* the page has a memory error: nobody can use it */
};

struct protect_ops;

/* How many pieces an image may have: segments of its file, and what comes with it. */
#define MEMORY_LOADED_MAX 24

struct memory {
	struct ram ram;
	struct s2_track track;
	struct s2_engine engine; /* moves the pages, through the kind's back end */
	struct s2_backend backend;
	struct s2_job
		job; /* one move at a time; under way only if it could neither end nor go back */
	uint64_t conversions; /* moves so far; atomic: a vCPU that failed compares it */
	struct s2_range loaded[MEMORY_LOADED_MAX]; /* whole pages that hold the image */
	size_t loaded_count;
	const struct protect_ops *protect_ops; /* how the guest is protected (protect.h) */
	void *protect;			       /* that kind's own, from its create to its fini */
	struct claims claims;		       /* what the guest said of its pages */
	uint64_t poisoned;		       /* pages with a memory error */
	pthread_mutex_t lock;
	bool owned;
	bool started;
};

/* Where the library's objects of this process get their memory. */
extern const struct s2_env memory_env;

/*
 * owned: memory_fini() frees ram; otherwise the caller does, afterwards. Returns S2_OK or the tracker's
 * error; then ram is still the caller's.
 */
S2_NODISCARD enum s2_err memory_init(struct memory *memory, const struct protect_ops *ops,
				     const struct ram *ram, bool owned);
void memory_fini(struct memory *memory);

void memory_lock(struct memory *memory);
void memory_unlock(struct memory *memory);

/* Is [gpa, gpa + len) inside RAM, and the guest has not started? */
bool memory_has_room(const struct memory *memory, s2_gpa_t gpa, uint64_t len);

/*
 * A place to load len bytes of an image to; NULL if it is not inside RAM, if the guest has started, or if
 * the image has too many pieces.
 */
void *memory_load(struct memory *memory, s2_gpa_t gpa, uint64_t len);

/* The guest is about to run: from now on its memory is what it says it is. */
S2_NODISCARD enum s2_err memory_start(struct memory *memory);

/*
 * Moves whole pages to another state, through the kind's back end. The only way in which the tracker
 * changes once the guest has started. With the lock held. Fails, and changes nothing, as
 * s2_convert() does.
 */
S2_NODISCARD enum s2_err memory_convert(struct memory *memory, enum s2_move move,
					struct s2_range range);

/*
 * The guest shares these pages, or takes them back: by a hypercall that came to us, or it says so
 * through the control device. Nothing changes if any of it is outside RAM, not whole pages, or in a
 * state from which that is no move: MEMORY_OUTSIDE, MEMORY_STATE. The caller has the architecture's
 * name for that. Lock not held.
 */
enum memory_err memory_guest_share(struct memory *memory, struct s2_range range);
enum memory_err memory_guest_unshare(struct memory *memory, struct s2_range range);

/*
 * The guest claims that it has shared these pages, or is about to unshare them, and the host has to
 * see for itself (claims.h). MEMORY_OUTSIDE: not whole pages of RAM. MEMORY_SECURE: the MMU refuses
 * some of them, which are not taken. MEMORY_STATE: nothing changed. Lock not held.
 */
enum memory_err memory_claim(struct memory *memory, enum s2_move move, struct s2_range range);

/* As claims_open_ring(), claims_drain() and claims_audit(), with the lock not held. */
bool memory_open_ring(struct memory *memory, s2_gpa_t gpa);
void memory_drain(struct memory *memory);
void memory_audit(struct memory *memory, struct s2_range range, struct claims_audit *out);

/*
 * Reads from the page at gpa, which is RAM, to see whether the MMU lets the host; what was read is
 * dropped. A page that turns out to have a memory error is POISONED from here on; one that is known to
 * is not touched, and answered as if it had been. Lock held.
 */
enum guard_err memory_touch(struct memory *memory, s2_gpa_t gpa);

/*
 * The page at gpa, the first byte of a page of RAM, has a memory error: it is POISONED from here on,
 * whatever it was, and the user is told once. Lock held. False if the tracker has no memory to say so.
 */
bool memory_poison(struct memory *memory, s2_gpa_t gpa);

/*
 * Copies from or to guest memory, if every page of it is shared and the guest asked for that itself.
 * A guest may unshare at any time: the fault that follows is caught and answered as MEMORY_SECURE.
 * memory_read() and memory_write() say so on stderr: "gpa 0x...  is secure: the host may not read it".
 * What the guest has reported until now counts. A page with a memory error is MEMORY_POISON.
 */
enum memory_err memory_read(struct memory *memory, s2_gpa_t gpa, void *to, size_t len);
enum memory_err memory_write(struct memory *memory, s2_gpa_t gpa, const void *from, size_t len);

/*
 * The host as one that does not ask the tracker: reads, or changes, 8 bytes at gpa. False if the MMU
 * refuses, or for what is not RAM; else *value is set. Where pages are sealed (--protect uv), that exports
 * them: the value is cipher text, and what is changed is a page that the guest cannot have back. A page
 * that the tracker calls shared and the MMU refuses is secure from here on (claims.h); a POISONED one is
 * not touched.
 * memory_poke() inverts the lowest bit. For tests and measurements.
 */
bool memory_probe(struct memory *memory, s2_gpa_t gpa, uint64_t *value);
bool memory_poke(struct memory *memory, s2_gpa_t gpa);

/* What the tracker says of the page; S2_NONE for what is not RAM. */
struct s2_page memory_page(struct memory *memory, s2_gpa_t gpa);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end of all spaces: the machine's own, with what passes counted. The image with mutants is
 * built with METAL_MUTANTS; in it one flush at a time goes missing or becomes too small, and
 * the tests have to notice.
 */
#include "metal.h"

struct flush_count flush_count;

#ifdef METAL_MUTANTS

enum mutant {
	NO_MUTANT = 0,
	DROP_ALL,	   /* no flush at all */
	DROP_LEAF,	   /* of leaves */
	DROP_WALK,	   /* of tables that were unlinked or linked */
	NARROW_START,	   /* without the first entry of the range */
	NARROW_END,	   /* without the last one */
	LOCAL,		   /* on this processor only */
	HALF,		   /* stage 2, and not what combines both stages */
	DROP_INVALIDATE,   /* a store in the place of IPTE and IDTE */
	NARROW_INVALIDATE, /* the last item only by a store */
	DROP_REPLACE,	   /* compare-and-swap in the place of CRDTE and CSPG */
};

const char *const mutant_names[] = {
	"",	 "drop-all", "drop-leaf",	"drop-walk",	     "narrow-start", "narrow-end",
	"local", "half",     "drop-invalidate", "narrow-invalidate", "drop-replace", NULL};

/* Can it make a difference, with these formats and this back end? */
bool mutant_applies(unsigned mutant)
{
	bool purges = machine.mmu->invalidate != NULL;

	switch ((enum mutant)mutant) {
	case DROP_ALL:
		return !purges;
	case DROP_LEAF:
	case DROP_WALK:
	case NARROW_START:
	case NARROW_END:
		return !purges && machine.mmu->flush_max != 0;
	case HALF:
		return machine.flush_halves;
	case DROP_INVALIDATE:
	case NARROW_INVALIDATE:
	case DROP_REPLACE:
		return purges;
	case NO_MUTANT:
	case LOCAL:
	default:
		return true;
	}
}

static bool is(enum mutant mutant)
{
	return args.mutant == (unsigned)mutant;
}

/* Spoils one element. False: it is not flushed at all. */
static bool spoil(struct s2_flush *f)
{
	uint64_t step = UINT64_C(1) << f->stride_lg2;
	bool wide = f->kind != S2_FLUSH_ALL && f->range.len > step;

	if (is(DROP_ALL) || (is(DROP_LEAF) && f->kind == S2_FLUSH_LEAF) ||
	    (is(DROP_WALK) && f->kind == S2_FLUSH_WALK)) {
		return false;
	}
	if (is(NARROW_START) && f->kind != S2_FLUSH_ALL) {
		if (!wide) {
			return false;
		}
		f->range.start.val += step;
		f->range.len -= step;
	}
	if (is(NARROW_END) && f->kind != S2_FLUSH_ALL) {
		if (!wide) {
			return false;
		}
		f->range.len -= step;
	}
	return true;
}

static void metal_flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	struct s2_flush left[S2_GATHER_RANGES];
	size_t kept = 0;

	MUST(count <= S2_GATHER_RANGES);
	for (size_t i = 0; i < count; i++) {
		left[kept] = flush[i];
		kept += spoil(&left[kept]);
	}
	machine_flush_local = is(LOCAL);
	machine_flush_half = is(HALF);
	if (kept > 0) {
		machine.mmu->flush(cookie, left, kept);
	}
	machine_flush_local = machine_flush_half = false;
}

/* Bit 10 of a page's item, bit 5 of all others; only s390 comes here. */
static void store_invalid(const struct s2_place *place, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++) {
		place->item[i] |= place->level == 0 ? 0x400 : 0x20;
	}
}

static void metal_invalidate(void *cookie, const struct s2_place *place, size_t count)
{
	size_t kept = is(DROP_INVALIDATE) ? 0 : is(NARROW_INVALIDATE) ? count - 1 : count;

	machine_flush_local = is(LOCAL);
	if (kept > 0) {
		machine.mmu->invalidate(cookie, place, kept);
	}
	machine_flush_local = false;
	store_invalid(place, kept, count);
}

static bool metal_replace(void *cookie, const struct s2_place *place, uint64_t old,
			  uint64_t new_value)
{
	if (!is(DROP_REPLACE)) {
		return machine.mmu->replace(cookie, place, old, new_value);
	}
	return __atomic_compare_exchange_n(place->item, &old, new_value, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_RELAXED);
}

#else

const char *const mutant_names[] = {"", NULL};

bool mutant_applies(unsigned mutant)
{
	(void)mutant;
	return false;
}

static void metal_flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	flush_count.calls++;
	flush_count.ranges += count;
	machine.mmu->flush(cookie, flush, count);
}

static void metal_invalidate(void *cookie, const struct s2_place *place, size_t count)
{
	flush_count.purges++;
	machine.mmu->invalidate(cookie, place, count);
}

static bool metal_replace(void *cookie, const struct s2_place *place, uint64_t old,
			  uint64_t new_value)
{
	flush_count.purges++;
	return machine.mmu->replace(cookie, place, old, new_value);
}

#endif

static void metal_clean(void *cookie, s2_hpa_t hpa, uint64_t len)
{
	if (machine.mmu->clean != NULL) {
		machine.mmu->clean(cookie, hpa, len);
	}
}

static void metal_invalidate_code(void *cookie, s2_hpa_t hpa, uint64_t len)
{
	if (machine.mmu->invalidate_code != NULL) {
		machine.mmu->invalidate_code(cookie, hpa, len);
	}
}

/* For a kind of space; the caller keeps it for as long as the space. */
struct s2_mmu mmu_of_machine(void)
{
	return (struct s2_mmu){
		.flush = metal_flush,
		.invalidate = machine.mmu->invalidate != NULL ? metal_invalidate : NULL,
		.replace = machine.mmu->replace != NULL ? metal_replace : NULL,
		.clean = metal_clean,
		.invalidate_code = metal_invalidate_code,
		.flush_max = machine.mmu->flush_max,
	};
}

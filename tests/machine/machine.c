/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine as a whole: the back end of a space, and what is told of it. */
#include "walk.h"

#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct machine *all_machines;

void violation(struct machine *m, const char *why, const char *format, ...)
{
	va_list args;

	m->stats.violations++;
	if (m->error != NULL) {
		return;
	}
	m->error = why;
	va_start(args, format);
	vsnprintf(m->detail, sizeof(m->detail), format, args);
	va_end(args);
}

bool machine_ok(const struct machine *m)
{
	return m->error == NULL;
}

const char *machine_error(const struct machine *m)
{
	return m->error == NULL ? "" : m->error;
}

const char *machine_error_detail(struct machine *m)
{
	snprintf(m->text, sizeof(m->text), "%s: %s (%s)", m->variant->name, machine_error(m),
		 m->detail);
	return m->text;
}

void machine_clear_error(struct machine *m)
{
	m->error = NULL;
	m->detail[0] = '\0';
}

/*
 * The machine that a call of the back end is for, locked. A cookie that is none of ours must not be
 * used: NULL.
 */
static struct machine *machine_enter(void *cookie)
{
	struct machine *m = all_machines;

	while (m != NULL && m != cookie) {
		m = m->next;
	}
	if (m == NULL) {
		for (m = all_machines; m != NULL; m = m->next) {
			violation(m, "the back end was called with a strange cookie", "%p", cookie);
		}
		return NULL;
	}
	pthread_mutex_lock(&m->lock);
	return m;
}

static void machine_leave(struct machine *m)
{
	pthread_mutex_unlock(&m->lock);
}

static bool range_is_sane(const struct machine *m, struct s2_range range)
{
	uint64_t last = range.start.val + (range.len - 1);

	return range.len != 0 && last >= range.start.val && last <= gpa_last(m);
}

static const char *flush_wrong(const struct machine *m, const struct s2_flush *f)
{
	if (f->kind != S2_FLUSH_LEAF && f->kind != S2_FLUSH_WALK && f->kind != S2_FLUSH_ALL) {
		return "a flush of no kind";
	}
	/* A space of 2^64 bytes has a length that cannot be said. */
	if (f->kind == S2_FLUSH_ALL && f->range.start.val == 0 &&
	    (s2_range_last(f->range).val == gpa_last(m) || m->gpa_bits == 64)) {
		return NULL;
	}
	if (f->kind == S2_FLUSH_ALL) {
		return "a flush of all that says a part";
	}
	if (!range_is_sane(m, f->range)) {
		return "a flush of a strange range";
	}
	if (f->stride_lg2 < S2_PAGE_LG2 || f->stride_lg2 > 63) {
		return "a flush with a strange stride";
	}
	if (f->kind == S2_FLUSH_LEAF && f->level != S2_LEVEL_ANY && f->level > m->top) {
		return "a flush with a strange level";
	}
	return NULL;
}

static void machine_flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	struct machine *m = machine_enter(cookie);

	if (m == NULL) {
		return;
	}
	if (m->on_flush != NULL) {
		m->on_flush(m->hook_cookie, m, flush, count);
	}
	m->stats.flush_calls++;
	if (count == 0) {
		violation(m, "a flush of nothing", "%zu", count);
	}
	for (size_t i = 0; i < count; i++) {
		const char *why = flush_wrong(m, &flush[i]);

		if (why != NULL) {
			violation(m, why, "kind %u gpa %#" PRIx64 " len %#" PRIx64 " stride 2^%u",
				  (unsigned)flush[i].kind, flush[i].range.start.val,
				  flush[i].range.len, flush[i].stride_lg2);
			continue;
		}
		m->stats.flush_ranges[flush[i].kind]++;
		tlb_flush(m, &flush[i]);
	}
	tlb_refill(m);
	machine_leave(m);
}

/* Does the place lead to where a walk for its address comes by? */
static const char *place_wrong(struct machine *m, const struct s2_place *p, size_t count)
{
	const struct machine_step *step = NULL;
	struct machine_walk w;

	machine_walk(m, p->gpa.val, &w);
	for (unsigned i = 0; i < w.steps; i++) {
		step = w.step[i].level == p->level ? &w.step[i] : step;
	}
	if (step == NULL || step->table != p->table.val) {
		return "a place is in another table than a walk for its address";
	}
	if (p->lg2 != m->ops->lg2[p->level] || (p->gpa.val & (item_span(m, p->level) - 1)) != 0) {
		return "a place has a strange size or address";
	}
	if (step->item != p->table.val + p->index * UINT64_C(8) ||
	    p->item != item_pointer(m, step->item)) {
		return "a place is another item than that of its address";
	}
	if (count == 0 ||
	    (p->level != m->top && p->index + count > UINT64_C(1) << m->ops->items_lg2[p->level])) {
		return "a place with a strange count";
	}
	return NULL;
}

static bool check_place(struct machine *m, const struct s2_place *p, size_t count)
{
	const char *why = place_wrong(m, p, count);

	if (m->on_purge != NULL) {
		m->on_purge(m->hook_cookie, m, p, count);
	}
	if (why != NULL) {
		violation(m, why, "level %u gpa %#" PRIx64 " table %#" PRIx64 " index %u count %zu",
			  p->level, p->gpa.val, p->table.val, p->index, count);
	}
	return why == NULL;
}

static void invalidate(struct machine *m, const struct s2_place *place, size_t count)
{
	struct s2_range range;
	bool tables = false;

	if (!check_place(m, place, count)) {
		return;
	}
	m->stats.invalidate_calls++;
	m->stats.invalidate_items += count;
	range = s2_range(place->gpa, (uint64_t)count << place->lg2);
	tlb_check_changes(m, place->level, range);
	for (size_t i = 0; i < count; i++) {
		uint64_t hpa = place->table.val + (place->index + i) * sizeof(uint64_t);
		uint64_t v = machine_load(m, hpa);
		struct item item = {.kind = ITEM_NONE};

		m->ops->decode(m, place->level, place->index + i, v, &item);
		/* Leaves that are not marked accessed may be invalid already: that is no harm. */
		m->stats.invalidate_idle += item.kind == ITEM_NONE;
		tables |= i == 0 && item.kind == ITEM_TABLE;
		if (item.kind == ITEM_WRONG || (item.kind == ITEM_TABLE) != tables) {
			violation(m, "invalidate of what are not all leaves or all tables",
				  "level %u gpa %#" PRIx64 " item %#" PRIx64, place->level,
				  place->gpa.val, v);
		}
		machine_store(m, hpa, m->ops->invalid(place->level, v));
	}
	tlb_purge(m, place->level, range);
	tlb_refill(m);
	if (m->on_invalid != NULL) {
		m->on_invalid(m->hook_cookie, m, place, count);
	}
}

static void machine_invalidate(void *cookie, const struct s2_place *place, size_t count)
{
	struct machine *m = machine_enter(cookie);

	if (m != NULL) {
		invalidate(m, place, count);
		machine_leave(m);
	}
}

static bool replace(struct machine *m, const struct s2_place *place, uint64_t old,
		    uint64_t new_value)
{
	struct item item = {.kind = ITEM_NONE};
	struct s2_range range;
	uint64_t raw;

	if (!check_place(m, place, 1)) {
		return false;
	}
	m->stats.replace_calls++;
	range = s2_range(place->gpa, item_span(m, place->level));
	tlb_check_changes(m, place->level, range);
	raw = item_to_cpu(m, old);
	if (!__atomic_compare_exchange_n(place->item, &raw, item_to_cpu(m, new_value), false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		m->stats.replace_lost++;
		return false;
	}
	m->ops->decode(m, place->level, place->index, new_value, &item);
	if (item.kind == ITEM_WRONG) {
		violation(m, item.why, "replaced by %#" PRIx64, new_value);
	}
	tlb_purge(m, place->level, range);
	tlb_refill(m);
	return true;
}

static bool machine_replace(void *cookie, const struct s2_place *place, uint64_t old,
			    uint64_t new_value)
{
	struct machine *m = machine_enter(cookie);
	bool done;

	if (m == NULL) {
		return false;
	}
	done = replace(m, place, old, new_value);
	machine_leave(m);
	return done;
}

static void caches_done(struct machine *m, s2_hpa_t hpa, uint64_t len, bool code)
{
	if (m->on_clean != NULL) {
		m->on_clean(m->hook_cookie, m, hpa.val, len, code);
	}
	if (len == 0 || hpa.val + (len - 1) < hpa.val) {
		violation(m, "cache maintenance of a strange range", "%#" PRIx64 " %#" PRIx64,
			  hpa.val, len);
		return;
	}
	set_add(code ? &m->code : &m->clean, hpa.val, hpa.val + (len - 1));
	*(code ? &m->stats.code_calls : &m->stats.clean_calls) += 1;
	*(code ? &m->stats.code_bytes : &m->stats.clean_bytes) += len;
}

static void machine_clean(void *cookie, s2_hpa_t hpa, uint64_t len)
{
	struct machine *m = machine_enter(cookie);

	if (m != NULL) {
		caches_done(m, hpa, len, false);
		machine_leave(m);
	}
}

static void machine_invalidate_code(void *cookie, s2_hpa_t hpa, uint64_t len)
{
	struct machine *m = machine_enter(cookie);

	if (m != NULL) {
		caches_done(m, hpa, len, true);
		machine_leave(m);
	}
}

static void machine_mapped(void *cookie, const struct s2_run *run, unsigned prot)
{
	struct machine *m = machine_enter(cookie);

	if (m == NULL) {
		return;
	}
	if (m->on_mapped != NULL) {
		m->on_mapped(m->hook_cookie, m, run, prot);
	}
	m->stats.mapped_calls++;
	m->stats.mapped_bytes += run->len;
	machine_leave(m);
}

static void machine_relax(void *cookie)
{
	struct machine *m = machine_enter(cookie);

	if (m != NULL) {
		m->stats.relax_calls++;
		machine_leave(m);
	}
	sched_yield();
}

const struct machine_ops *ops_of(enum machine_kind kind)
{
	static const struct machine_ops *const ops[MACHINE_KIND_COUNT] = {
		[MACHINE_MOCK] = &ops_mock,   [MACHINE_ARM64] = &ops_arm64,
		[MACHINE_RISCV] = &ops_riscv, [MACHINE_EPT] = &ops_ept,
		[MACHINE_NPT] = &ops_npt,     [MACHINE_S390] = &ops_s390,
	};

	return ops[kind];
}

const char *machine_kind_name(enum machine_kind kind)
{
	return ops_of(kind)->name;
}

static void machine_init_mmu(struct machine *m)
{
	m->mmu.flush = machine_flush;
	if (m->ops->purges) {
		m->mmu.invalidate = machine_invalidate;
		m->mmu.replace = machine_replace;
	}
	m->mmu.clean = machine_clean;
	m->mmu.invalidate_code = machine_invalidate_code;
	m->mmu.mapped = machine_mapped;
	m->mmu.relax = machine_relax;
	m->mmu.flush_max = UINT64_MAX;
}

void machine_init(struct machine *m, const struct machine_variant *v, const struct s2_fmt *fmt,
		  struct s2_config *config)
{
	memset(m, 0, sizeof(*m));
	pthread_mutex_init(&m->lock, NULL);
	m->variant = v;
	m->ops = ops_of(v->kind);
	m->features = v->features;
	m->gpa_bits = v->gpa_bits;
	m->hpa_bits = v->hpa_bits;
	m->speculate = true;
	m->strict_marks = true;
	if (!m->ops->start(m, &m->top, &m->root_items)) {
		abort();
	}
	pool_init(&m->pool, m);
	m->pool.rubbish = item_to_cpu(m, m->ops->rubbish);
	m->tlb = tlb_new();
	machine_init_mmu(m);
	m->next = all_machines;
	all_machines = m;

	memset(config, 0, sizeof(*config));
	config->fmt = fmt;
	config->features = v->features;
	config->gpa_bits = v->gpa_bits;
	config->hpa_bits = v->hpa_bits;
	config->tables = m->pool.env;
	config->mmu = &m->mmu;
	config->mmu_cookie = m;
}

void machine_fini(struct machine *m)
{
	struct machine **link = &all_machines;

	while (*link != m) {
		link = &(*link)->next;
	}
	*link = m->next;
	tlb_free(m->tlb);
	pool_fini(&m->pool);
	set_free(&m->clean);
	set_free(&m->code);
	pthread_mutex_destroy(&m->lock);
}

void machine_set_root(struct machine *m, s2_hpa_t root)
{
	const struct pool_block *b = pool_find(&m->pool, root.val);
	uint64_t need = m->root_items * sizeof(uint64_t);

	tlb_clear(m);
	m->root = root.val;
	if (b == NULL || b->size < need || (root.val & (need - 1)) != 0) {
		violation(m, "the root is no table, too small, or not aligned", "%#" PRIx64,
			  root.val);
	}
}

static void touch_if(struct machine *m, uint64_t gpa)
{
	if (gpa <= gpa_last(m)) {
		machine_touch(m, gpa);
	}
}

/* Both sides of a border, and of the leaf around it. */
static void touch_border(struct machine *m, uint64_t gpa)
{
	struct machine_walk w;

	for (unsigned i = 0; i < 2; i++) {
		uint64_t at = i == 0 ? gpa - S2_PAGE_SIZE : gpa;

		touch_if(m, at);
		machine_walk(m, at, &w);
		if (w.fault == MACHINE_OK) {
			touch_if(m, w.leaf.gpa);
			touch_if(m, w.leaf.gpa + ((UINT64_C(1) << w.leaf.lg2) - 1));
		}
	}
}

void machine_touch_range(struct machine *m, struct s2_range range)
{
	uint64_t pages = range.len >> S2_PAGE_LG2;
	uint64_t step = pages / 8 == 0 ? 1 : pages / 8;

	touch_border(m, range.start.val);
	touch_border(m, range.start.val + range.len);
	for (uint64_t i = 0; i < pages; i += step) {
		touch_if(m, range.start.val + (i << S2_PAGE_LG2));
	}
}

void machine_host_wrote(struct machine *m, s2_hpa_t hpa, uint64_t len)
{
	set_remove(&m->clean, hpa.val, hpa.val + (len - 1));
	set_remove(&m->code, hpa.val, hpa.val + (len - 1));
}

bool machine_is_clean(const struct machine *m, s2_hpa_t hpa, uint64_t len, bool code)
{
	return set_covers(code ? &m->code : &m->clean, hpa.val, hpa.val + (len - 1));
}

struct machine_stretch machine_hpa_low(const struct machine *m)
{
	struct machine_stretch low = {0, m->pool.hpa - 1};

	return low;
}

struct machine_stretch machine_hpa_high(const struct machine *m)
{
	struct machine_stretch high = {m->pool.hpa + m->pool.size,
				       UINT64_MAX >> (64 - m->hpa_bits)};

	return high;
}

const char *machine_fault_name(enum machine_fault fault)
{
	static const char *const name[] = {"ok",	   "outside",	"absent", "denied",
					   "not accessed", "not dirty", "wrong"};

	return name[fault];
}

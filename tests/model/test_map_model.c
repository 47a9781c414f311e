/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spaces against a flat array of pages, on machines with a TLB that is used between all operations.
 * One run of this program is one format; its variants take turns.
 */
#include "map_marks.h"

#include "../check_main.h"

static const struct op {
	const char *name;
	void (*run)(struct world *w);
	unsigned weight;
} ops[] = {
	{"map", op_map, 24},
	{"unmap", op_unmap, 12},
	{"protect", op_protect, 8},
	{"split", op_split, 6},
	{"collapse", op_collapse, 8},
	{"collapse all", op_collapse_all, 5},
	{"trim", op_trim, 3},
	{"age", op_age, 4},
	{"touch", op_touch, 4},
	{"dirty start", op_dirty_start, 3},
	{"dirty collect", op_dirty_collect, 5},
	{"dirty clear", op_dirty_clear, 2},
	{"dirty stop", op_dirty_stop, 2},
};

#define OP_COUNT (sizeof(ops) / sizeof(ops[0]))

static enum machine_kind kind;
static const char *only; /* variant, if not NULL */

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoull(text, NULL, 0);
}

/* What a space is like: where its windows are, and for how many operations it lives. */
enum shape {
	SHAPE_TINY,   /* a few pages around some border */
	SHAPE_DENSE,  /* a few leaf tables */
	SHAPE_SPREAD, /* the first pages, some in the middle, the last */
	SHAPE_WIDE,   /* a group, or several leaves, of level 1 */
	SHAPE_GIANT,  /* a leaf of level 2 */
};

static enum shape pick_shape(void)
{
	unsigned n = flat_below(200);

	return n < 90	 ? SHAPE_TINY
	       : n < 140 ? SHAPE_DENSE
	       : n < 192 ? SHAPE_SPREAD
	       : n < 199 ? SHAPE_WIDE
			 : SHAPE_GIANT;
}

static uint64_t ops_of(enum shape shape)
{
	return shape == SHAPE_WIDE ? 300 : shape == SHAPE_GIANT ? 60 : 1500;
}

static uint64_t level_pages(const struct world *w, unsigned level)
{
	return UINT64_C(1) << (w->s.fmt->lg2(level) - S2_PAGE_LG2);
}

/* Pages of a window of this shape. */
static uint64_t shape_pages(const struct world *w, enum shape shape)
{
	uint64_t leaf = level_pages(w, 1);
	unsigned group_lg2 = w->s.fmt->group_lg2(1);

	switch (shape) {
	case SHAPE_DENSE:
		return leaf + below_u64(leaf * 2);
	case SHAPE_WIDE:
		leaf <<= group_lg2 != 0 && group_lg2 <= 4 ? group_lg2 : 2;
		return leaf + below_u64(leaf / 2);
	case SHAPE_GIANT:
		return level_pages(w, 2) + below_u64(level_pages(w, 2) / 8);
	case SHAPE_TINY:
	case SHAPE_SPREAD:
		break;
	}
	return 16 + below_u64(150);
}

static void add_window(struct world *w, uint64_t first, uint64_t count)
{
	struct window *win = &w->o.window[w->o.windows++];

	win->first = first;
	win->count = count;
	win->page = calloc(count, sizeof(*win->page));
	ck_assert_ptr_nonnull(win->page);
}

/* Around a border of leaves of some level, not at the ends of the space. */
static uint64_t border_window(const struct world *w, uint64_t count)
{
	uint64_t all = (w->s.last >> S2_PAGE_LG2) + 1;
	uint64_t border = level_pages(w, 1 + flat_below(w->s.top));

	if (border * 2 > all) {
		border = level_pages(w, 1);
	}
	border *= 1 + below_u64(all / border - 1);
	border -= chance(3) ? 0 : min_u64(border, below_u64(count));
	return min_u64(border, all - count);
}

static void make_windows(struct world *w, enum shape shape)
{
	uint64_t all = (w->s.last >> S2_PAGE_LG2) + 1;
	uint64_t count = min_u64(shape_pages(w, shape), all / 2);
	uint64_t first = border_window(w, count);

	if (shape == SHAPE_SPREAD) {
		first = first < 200 ? 200 : first > all - 400 ? all - 400 : first;
		add_window(w, 0, 16 + below_u64(100));
		add_window(w, first, count);
		count = 16 + below_u64(100);
		add_window(w, all - count, count);
		return;
	}
	if (shape != SHAPE_GIANT && chance(4)) {
		first = chance(2) ? 0 : all - count;
	}
	add_window(w, first, count);
}

/* Sizes that leaves may have: mostly all, at times not. */
static uint64_t pick_sizes(const struct machine_variant *v)
{
	return chance(4) ? v->leaf_sizes & flat_random() & flat_random() << 16 : 0;
}

static void config_hooks(struct world *w)
{
	uint64_t len = UINT64_C(1) << 30;

	w->mmu = w->m.mmu;
	w->config.mmu = &w->mmu;
	w->mmu.flush_max = chance(8) ? 0 : chance(4) ? flat_below(2000) : UINT64_MAX;
	if (!chance(8)) {
		w->mmu.clean = NULL;
		w->mmu.invalidate_code = NULL;
		w->mmu.mapped = NULL;
		return;
	}
	w->m.need_clean = true;
	if (chance(2)) {
		ck_assert_int_eq(
			s2_clean_init(&w->clean, &w->env.env, s2_hpa(w->base & ~(len - 1)), len),
			S2_OK);
		w->config.clean = &w->clean;
	}
}

static void trace_flush(void *cookie, struct machine *m, const struct s2_flush *flush, size_t count)
{
	static const char *const name[] = {"leaf", "walk", "all"};
	const struct world *w = cookie;

	(void)m;
	for (size_t i = 0; i < count; i++) {
		world_trace(w, "flush %s %#" PRIx64 " + %#" PRIx64 " stride %u level %u",
			    name[flush[i].kind], flush[i].range.start.val, flush[i].range.len,
			    flush[i].stride_lg2, flush[i].level);
	}
}

static void pick_prots(struct world *w)
{
	w->prot_count = 0;
	for (unsigned prot = 1; prot <= S2_PROT_ALL; prot++) {
		if (machine_can_say(w->variant, prot, S2_MEM_NORMAL)) {
			w->prots[w->prot_count++] = prot;
		}
	}
	w->favourite = w->prots[flat_below(w->prot_count)];
}

static void open_space(struct world *w)
{
	enum s2_err err = s2_space_init(&w->s, &w->config);

	if (err != S2_OK) {
		wrong(w, "init: %s", s2_strerror(err));
	}
}

/* For part of a window or all of it, and perhaps for what is beside it. */
static void config_walk_cache(struct world *w)
{
	const struct window *win = &w->o.window[flat_below(w->o.windows)];
	uint64_t all = (w->s.last >> S2_PAGE_LG2) + 1;
	uint64_t first = win->first + (chance(2) ? 0 : below_u64(win->count));
	uint64_t count = min_u64(1 + below_u64(win->count * 2), all - first);
	struct s2_range range = s2_range(s2_gpa(first << S2_PAGE_LG2), count << S2_PAGE_LG2);

	w->config.walk_cache_range = range;
	w->config.walk_cache =
		calloc(s2_walk_cache_words(w->config.fmt, range), sizeof(*w->config.walk_cache));
	ck_assert_ptr_nonnull(w->config.walk_cache);
}

static void close_walk_cache(struct world *w)
{
	size_t words = w->config.walk_cache == NULL
			       ? 0
			       : s2_walk_cache_words(w->config.fmt, w->config.walk_cache_range);

	for (size_t i = 0; i < words; i++) {
		if (w->config.walk_cache[i] != NULL) {
			wrong(w, "word %zu of the walk cache is left behind", i);
		}
	}
	free(w->config.walk_cache);
}

static void world_init(struct world *w, const struct machine_variant *v, enum shape shape)
{
	uint64_t folio = S2_PAGE_SIZE << S2_FOLIO_ORDER_MAX;

	w->variant = v;
	w->doing = "init";
	w->debt = 0;
	w->hardware_marks = machine_marks_accessed(v) || machine_marks_dirty(v);
	memset(&w->o, 0, sizeof(w->o));
	w->o.sync = 1;
	memset(w->lock, 0, sizeof(w->lock));
	test_env_init(&w->env);
	machine_init(&w->m, v, world_fmt(kind), &w->config);
	w->m.hook_cookie = w;
	w->m.on_flush = w->trace ? trace_flush : NULL;
	w->base = pick_folio(w, S2_FOLIO_ORDER_MAX) & ~(folio - 1);
	config_hooks(w);
	w->config.leaf_sizes = pick_sizes(v);
	if (chance(8)) {
		w->config.lock = w->lock;
		w->config.lock_count = LOCKS;
	}
	open_space(w);
	make_windows(w, shape);
	if (chance(2)) {
		s2_space_fini(&w->s);
		config_walk_cache(w);
		open_space(w);
	}
	machine_set_root(&w->m, s2_space_root(&w->s));
	s2_gather_init(&w->g, &w->s);
	pick_prots(w);
}

static void world_fini(struct world *w)
{
	w->doing = "end";
	compare_all(w);
	model_sync(w);
	s2_gather_fini(&w->g);
	machine_power_cycle(&w->m);
	s2_space_fini(&w->s);
	close_walk_cache(w);
	check_machine(w);
	if (w->m.pool.live != 0) {
		wrong(w, "%zu tables leak", w->m.pool.live);
	}
	if (w->config.clean != NULL) {
		s2_clean_fini(&w->clean);
	}
	ck_assert_uint_eq(w->env.live, 0);
	machine_fini(&w->m);
	for (unsigned i = 0; i < w->o.windows; i++) {
		free(w->o.window[i].page);
	}
}

static const struct op *pick_op(void)
{
	unsigned all = 0, n;

	for (size_t i = 0; i < OP_COUNT; i++) {
		all += ops[i].weight;
	}
	n = flat_below(all);
	for (const struct op *op = ops;; op++) {
		if (n < op->weight) {
			return op;
		}
		n -= op->weight;
	}
}

static void one_op(struct world *w)
{
	const struct op *op = pick_op();

	w->doing = op->name;
	op->run(w);
	check_machine(w);
	check_items(w);
	w->doing = "between operations";
	if (chance(4)) {
		model_sync(w);
	}
	guest_runs(w);
	if (chance(16)) {
		check_next_run(w);
	}
}

/* One space, from init to fini. */
static void one_space(struct world *w, const struct machine_variant *v, uint64_t left)
{
	enum shape shape = pick_shape();
	uint64_t count, period;

	if (shape == SHAPE_GIANT && w->op % 3 == 0) {
		shape = SHAPE_DENSE;
	}
	world_init(w, v, shape);
	if (w->trace) {
		printf("# %s, shape %d\n", v->name, shape);
	}
	count = min_u64(left, ops_of(shape));
	period = shape == SHAPE_TINY ? 64 : 256;
	while (count-- > 0) {
		w->op++;
		one_op(w);
		if (w->op % period == 0 || w->each) {
			compare_all(w);
		}
	}
	world_fini(w);
}

static const struct machine_variant *pick_variant(void)
{
	for (;;) {
		const struct machine_variant *v = &machines[flat_below((unsigned)machine_count)];

		if (v->kind == kind && (only == NULL || strcmp(only, v->name) == 0)) {
			return v;
		}
	}
}

START_TEST(model)
{
	static struct world w;
	uint64_t count = env_number("STAGE2_MODEL_OPS", 1000000);

	memset(&w, 0, sizeof(w));
	w.trace = getenv("STAGE2_MODEL_TRACE") != NULL;
	w.each = getenv("STAGE2_MODEL_EACH") != NULL;
	flat_random_state = flat_seed();
	only = getenv("STAGE2_MODEL_VARIANT");
	while (w.op < count) {
		one_space(&w, pick_variant(), count - w.op);
	}
	printf("# %" PRIu64 " operations, %" PRIu64 " guest accesses\n", w.op, w.guests);
	fflush(stdout);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create(argc > 1 ? argv[1] : "mock");
	TCase *tcase = tcase_create("model");

	for (kind = 0; kind < MACHINE_KIND_COUNT; kind++) {
		if (argc > 1 && strcmp(machine_kind_name(kind), argv[1]) == 0) {
			break;
		}
	}
	if (kind == MACHINE_KIND_COUNT) {
		return EXIT_FAILURE;
	}
	tcase_set_timeout(tcase, 0);
	tcase_add_test(tcase, model);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

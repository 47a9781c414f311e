/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: everything that walks or changes tables, compiled once for each format. A format's C
 * file includes this at its end; see <stage2/fmt.h>. Public calls are checked and locked in stage2/map.c,
 * and come here through struct s2_fmt, one indirect call for an operation.
 *
 * No include guard: a file is one format.
 */
#include <stage2/engine/hooks.h>
#include <stage2/fmt.h>

#include <stage2/engine/item.h>

#include <stage2/engine/cursor.h>

#include <stage2/engine/replace.h>

#include <stage2/engine/map.h>

#include <stage2/engine/unmap.h>

#include <stage2/engine/protect.h>

#include <stage2/engine/marks.h>

#include <stage2/engine/split.h>

#include <stage2/engine/collapse.h>

#include <stage2/engine/query.h>

/* For struct s2_fmt, which has no inline functions. */
ENGINE_FUNCTION unsigned engine_lg2(unsigned level)
{
	return fmt_lg2(level);
}

ENGINE_FUNCTION unsigned engine_items_lg2(unsigned level)
{
	return fmt_items_lg2(level);
}

ENGINE_FUNCTION unsigned engine_group_lg2(unsigned level)
{
	return fmt_group_lg2(level);
}

extern const struct s2_fmt FMT_SYMBOL;

const struct s2_fmt FMT_SYMBOL = {
	.name = FMT_NAME,
	.levels = FMT_LEVELS,
	.big_endian = FMT_BIG_ENDIAN,
	.init = fmt_init,
	.lg2 = engine_lg2,
	.items_lg2 = engine_items_lg2,
	.group_lg2 = engine_group_lg2,
	.table_bytes = fmt_table_bytes,
	.none = fmt_none,
	.attr = fmt_attr,
	.leaf = fmt_leaf,
	.group = fmt_group,
	.group_step = fmt_group_step,
	.hpa = fmt_hpa,
	.decode = fmt_decode,
	.valid = fmt_valid,
	.table_hpa = fmt_table_hpa,
	.walk = fmt_walk,
	.keeps_accessed = fmt_keeps_accessed,
	.fill_none = table_fill_none,
	.purges = fmt_purges,
	.flush_on_map = fmt_flush_on_map,
	.retire = engine_retire,
	.bound = engine_bound,
	.map = engine_map,
	.unmap = engine_unmap,
	.protect = engine_protect,
	.split = engine_split,
	.collapse_all = engine_collapse_all,
	.lookup = engine_lookup,
	.query = engine_query,
	.age = engine_age,
	.touch = engine_touch,
	.dirty_mark = engine_dirty_mark,
	.dirty_collect = engine_dirty_collect,
	.visit = engine_visit,
};

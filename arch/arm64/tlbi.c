/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operands of TLB maintenance. Each operand is computed from the address that it is for and from
 * the flush, never from the operand before it.
 */
#include <stage2/arm64.h>

/* TLBI IPAS2E1IS (C5.5.14). NS, bit 63, is 0: it says nothing in Non-secure state. */
#define IPAS2_IPA UINT64_C(0x000000ffffffffff) /* bits 51:12 of the address */
#define IPAS2_TTL_SHIFT 44
#define IPAS2_TTL_4K 4u /* plus Arm's level */

/* TLBI RIPAS2E1IS (C5.5.22). */
#define RIPAS2_BADDR UINT64_C(0x0000001fffffffff)
#define RIPAS2_TTL_SHIFT 37
#define RIPAS2_NUM_SHIFT 39
#define RIPAS2_SCALE_SHIFT 44
#define RIPAS2_TG_4K (UINT64_C(1) << 46)

#define SCALE_MAX 3u
#define UNITS_MAX 32u		      /* NUM + 1 */
#define RANGE_MAX (UINT64_C(1) << 33) /* bytes: both at their largest */
#define LPA2_START_LG2 16	      /* VTCR_EL2.DS: BaseADDR[15:12] is 0 */

/* log2 of the bytes that an item of this level translates. */
static unsigned item_lg2(unsigned level)
{
	return S2_PAGE_LG2 + 9 * level;
}

/* log2 of the pages that NUM counts. */
static unsigned unit_lg2(unsigned scale)
{
	return 5 * scale + 1;
}

static bool aligned(uint64_t value, unsigned lg2)
{
	return (value & ((UINT64_C(1) << lg2) - 1)) == 0;
}

uint64_t s2_arm64_ipas2e1is(s2_gpa_t gpa, uint8_t level)
{
	uint64_t xt = (gpa.val >> S2_PAGE_LG2) & IPAS2_IPA;

	if (level != S2_LEVEL_ANY) {
		xt |= (uint64_t)(IPAS2_TTL_4K | s2_arm64_level(level)) << IPAS2_TTL_SHIFT;
	}
	return xt;
}

/* Arm's level 0 has no hint. A hint that BaseADDR is not aligned to is UNPREDICTABLE. */
static uint64_t range_ttl(s2_gpa_t gpa, uint8_t level)
{
	if (level == S2_LEVEL_ANY || !aligned(gpa.val, item_lg2(level))) {
		return 0;
	}
	return s2_arm64_level(level);
}

uint64_t s2_arm64_ripas2e1is(s2_gpa_t gpa, uint8_t level, unsigned scale, unsigned num, bool lpa2)
{
	uint64_t xt = (gpa.val >> (lpa2 ? LPA2_START_LG2 : S2_PAGE_LG2)) & RIPAS2_BADDR;

	xt |= range_ttl(gpa, level) << RIPAS2_TTL_SHIFT;
	xt |= (uint64_t)num << RIPAS2_NUM_SHIFT;
	xt |= (uint64_t)scale << RIPAS2_SCALE_SHIFT;
	return xt | RIPAS2_TG_4K;
}

/* Of items: a group may be cached item by item, and is invalidated so (I_JQPNP). */
static unsigned stride_lg2(const struct s2_flush *flush)
{
	unsigned level = 0;

	while (item_lg2(level + 1) <= flush->stride_lg2) {
		level++;
	}
	return item_lg2(level);
}

/* Tables are invalidated only by operations that do not say where the leaf is. */
static uint8_t hint(const struct s2_flush *flush)
{
	return flush->kind == S2_FLUSH_LEAF ? flush->level : (uint8_t)S2_LEVEL_ANY;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct s2_arm64_tlbi single_at(uint64_t features, const struct s2_flush *flush, s2_gpa_t gpa,
				      uint64_t left)
{
	uint64_t size = UINT64_C(1) << stride_lg2(flush);
	bool hints = (features & S2_ARM64_TTL) != 0;
	struct s2_arm64_tlbi out = {
		.op = S2_ARM64_IPAS2E1IS,
		.xt = s2_arm64_ipas2e1is(gpa, hints ? hint(flush) : (uint8_t)S2_LEVEL_ANY),
		.len = smaller(size - (gpa.val & (size - 1)), left),
	};

	return out;
}

/* The largest unit that fits at least once, as often as it fits. */
static struct s2_arm64_tlbi range_at(bool lpa2, const struct s2_flush *flush, s2_gpa_t gpa,
				     uint64_t left)
{
	uint64_t pages = (left - 1) / S2_PAGE_SIZE + 1;
	unsigned scale = SCALE_MAX;
	uint64_t units;
	struct s2_arm64_tlbi out;

	while (pages >> unit_lg2(scale) == 0) {
		scale--;
	}
	units = smaller(pages >> unit_lg2(scale), UNITS_MAX);
	out.op = S2_ARM64_RIPAS2E1IS;
	out.xt = s2_arm64_ripas2e1is(gpa, hint(flush), scale, (unsigned)units - 1, lpa2);
	out.len = smaller(units << (unit_lg2(scale) + S2_PAGE_LG2), left);
	return out;
}

struct s2_arm64_tlbi s2_arm64_tlbi_at(uint64_t features, const struct s2_flush *flush, s2_gpa_t gpa)
{
	bool lpa2 = (features & S2_ARM64_LPA2) != 0;
	uint64_t left = s2_range_last(flush->range).val - gpa.val + 1;

	if (!(features & S2_ARM64_TLBIRANGE) || left <= UINT64_C(1) << stride_lg2(flush) ||
	    (lpa2 && !aligned(gpa.val, LPA2_START_LG2))) {
		return single_at(features, flush, gpa, left);
	}
	return range_at(lpa2, flush, gpa, left);
}

/* Operations that a flush takes, or more than that. */
static uint64_t cost(uint64_t features, const struct s2_flush *flush)
{
	unsigned lg2 = stride_lg2(flush);
	uint64_t last = s2_range_last(flush->range).val;

	if (features & S2_ARM64_TLBIRANGE) {
		return S2_ARM64_TLBI_RANGE_MAX + flush->range.len / RANGE_MAX;
	}
	return (last >> lg2) - (flush->range.start.val >> lg2) + 1;
}

static bool all_is_better(uint64_t features, const struct s2_flush *flush, size_t count)
{
	uint64_t left = S2_ARM64_TLBI_MAX;

	for (size_t i = 0; i < count; i++) {
		if (flush[i].kind == S2_FLUSH_ALL || cost(features, &flush[i]) > left) {
			return true;
		}
		left -= cost(features, &flush[i]);
	}
	return false;
}

void s2_arm64_tlbi(uint64_t features, const struct s2_flush *flush, size_t count,
		   void (*op)(void *cookie, enum s2_arm64_op op, uint64_t xt), void *cookie)
{
	if (count == 0) {
		return;
	}
	if (all_is_better(features, flush, count)) {
		op(cookie, S2_ARM64_VMALLS12E1IS, 0);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t gpa = flush[i].range.start.val;
		uint64_t left = flush[i].range.len;

		while (left > 0) {
			struct s2_arm64_tlbi next =
				s2_arm64_tlbi_at(features, &flush[i], s2_gpa(gpa));

			op(cookie, next.op, next.xt);
			gpa += next.len;
			left -= next.len;
		}
	}
	op(cookie, S2_ARM64_VMALLE1IS, 0);
}

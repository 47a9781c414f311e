/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hgatp, and the operands of fences. Each operand is computed from the address that it is for and
 * from the flush, never from the operand before it.
 */
#include <stage2/riscv.h>
#include <stage2/space.h>

/* "Hypervisor Guest Address Translation and Protection (hgatp) Register". */
#define HGATP_MODE_SHIFT 60
#define HGATP_MODE_SV39X4 8u /* Sv48x4 and Sv57x4 follow, with one level more each */
#define HGATP_VMID_SHIFT 44
#define HGATP_PPN UINT64_C(0x00000fffffffffff)

#define VMID UINT64_C(0x3fff) /* VMIDMAX is 14 */
#define SV39X4_TOP 2u
#define RS1_SHIFT 2 /* as in htval, for addresses wider than a register */

uint64_t s2_riscv_hgatp(const struct s2_space *s, uint16_t vmid)
{
	uint64_t mode = HGATP_MODE_SV39X4 + s->top - SV39X4_TOP;

	return mode << HGATP_MODE_SHIFT | (vmid & VMID) << HGATP_VMID_SHIFT |
	       ((s2_space_root(s).val >> S2_PAGE_LG2) & HGATP_PPN);
}

uint64_t s2_riscv_rs1(s2_gpa_t gpa)
{
	return gpa.val >> RS1_SHIFT;
}

uint64_t s2_riscv_rs2(uint16_t vmid)
{
	return vmid & VMID;
}

/*
 * log2 of what one fence is for. A leaf goes as a whole by any of its addresses, a group only item
 * by item ("Svnapot").
 */
static unsigned stride_lg2(const struct s2_flush *flush)
{
	unsigned lg2 = S2_PAGE_LG2;

	while (lg2 + 9 <= flush->stride_lg2) {
		lg2 += 9;
	}
	return lg2;
}

static uint64_t cost(const struct s2_flush *flush)
{
	unsigned lg2 = stride_lg2(flush);

	return (s2_range_last(flush->range).val >> lg2) - (flush->range.start.val >> lg2) + 1;
}

/* Fences for an address do not order what was written to pointers. */
static bool needs_all(const struct s2_flush *flush)
{
	return flush->kind != S2_FLUSH_LEAF;
}

static bool all_is_better(const struct s2_flush *flush, size_t count)
{
	uint64_t left = S2_RISCV_HFENCE_MAX;

	for (size_t i = 0; i < count; i++) {
		if (needs_all(&flush[i]) || cost(&flush[i]) > left) {
			return true;
		}
		left -= cost(&flush[i]);
	}
	return false;
}

void s2_riscv_hfence(uint64_t features, const struct s2_flush *flush, size_t count, uint16_t vmid,
		     void (*op)(void *cookie, enum s2_riscv_op op, uint64_t rs1, uint64_t rs2),
		     void *cookie)
{
	bool batch = (features & S2_RISCV_SVINVAL) != 0;

	if (count == 0) {
		return;
	}
	if (all_is_better(flush, count)) {
		op(cookie, S2_RISCV_HFENCE_GVMA_ALL, 0, s2_riscv_rs2(vmid));
		return;
	}
	if (batch) {
		op(cookie, S2_RISCV_SFENCE_W_INVAL, 0, 0);
	}
	for (size_t i = 0; i < count; i++) {
		for (uint64_t entry = 0; entry < cost(&flush[i]); entry++) {
			uint64_t gpa = flush[i].range.start.val + (entry << stride_lg2(&flush[i]));

			op(cookie, batch ? S2_RISCV_HINVAL_GVMA : S2_RISCV_HFENCE_GVMA,
			   s2_riscv_rs1(s2_gpa(gpa)), s2_riscv_rs2(vmid));
		}
	}
	if (batch) {
		op(cookie, S2_RISCV_SFENCE_INVAL_IR, 0, 0);
	}
}

struct s2_riscv_sbi s2_riscv_sbi(const struct s2_flush *flush, uint16_t vmid)
{
	struct s2_riscv_sbi out = {
		.fid = S2_RISCV_SBI_HFENCE_GVMA_VMID,
		.start = flush->range.start.val,
		.size = flush->range.len,
		.vmid = s2_riscv_rs2(vmid),
	};

	if (needs_all(flush)) {
		/* The whole address space: the one size for which the firmware uses rs1 = x0. */
		out.start = 0;
		out.size = UINT64_MAX;
	}
	return out;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers that point a processor at a space. */
#include <stage2/arm64.h>
#include <stage2/space.h>

/* VTCR_EL2 (D24.2.224). */
#define VTCR_T0SZ_SHIFT 0
#define VTCR_SL0_SHIFT 6 /* table D8-19: Arm's level 2 is 0, 1 is 1, 0 is 2; SL2 is 0 */
#define VTCR_IRGN0_WB (UINT64_C(1) << 8)
#define VTCR_ORGN0_WB (UINT64_C(1) << 10)
#define VTCR_SH0_INNER (UINT64_C(3) << 12) /* with DS also that of leaves (R_HTSGQ) */
#define VTCR_TG0_4K (UINT64_C(0) << 14)
#define VTCR_PS_SHIFT 16
#define VTCR_VS (UINT64_C(1) << 19)
#define VTCR_HA (UINT64_C(1) << 21)
#define VTCR_HD (UINT64_C(1) << 22)
#define VTCR_RES1 (UINT64_C(1) << 31)
#define VTCR_DS (UINT64_C(1) << 32)

/* VTTBR_EL2 (D24.2.225). */
#define VTTBR_CNP (UINT64_C(1) << 0)
#define VTTBR_BADDR UINT64_C(0x0000fffffffff000)
#define VTTBR_BADDR_TOP UINT64_C(0x3c) /* with DS: bits 51:48 of the address */
#define VTTBR_BADDR_TOP_SHIFT 46
#define VTTBR_VMID_SHIFT 48

static bool has(const struct s2_space *s, unsigned feature)
{
	return (s->config.features & feature) != 0;
}

static unsigned bits(uint64_t last)
{
	return 64 - (unsigned)__builtin_clzll(last);
}

/* The smallest output size that holds all addresses. */
static uint64_t vtcr_ps(uint64_t hpa_last)
{
	static const uint8_t size[] = {32, 36, 40, 42, 44, 48, 52};
	uint64_t ps = 0;

	while (size[ps] < bits(hpa_last)) {
		ps++;
	}
	return ps;
}

uint64_t s2_arm64_vtcr(const struct s2_space *s)
{
	uint64_t vtcr = VTCR_RES1 | VTCR_TG0_4K | VTCR_SH0_INNER | VTCR_ORGN0_WB | VTCR_IRGN0_WB;

	vtcr |= (uint64_t)(64 - bits(s->last)) << VTCR_T0SZ_SHIFT;
	vtcr |= (uint64_t)(2 - s2_arm64_level(s->top)) << VTCR_SL0_SHIFT;
	vtcr |= vtcr_ps(s->hpa_last) << VTCR_PS_SHIFT;
	vtcr |= has(s, S2_ARM64_VMID16) ? VTCR_VS : 0;
	vtcr |= has(s, S2_ARM64_HA) ? VTCR_HA : 0;
	vtcr |= has(s, S2_ARM64_HD) ? VTCR_HD : 0;
	vtcr |= has(s, S2_ARM64_LPA2) ? VTCR_DS : 0;
	return vtcr;
}

uint64_t s2_arm64_vttbr(const struct s2_space *s, uint16_t vmid)
{
	uint64_t root = s2_space_root(s).val;
	uint64_t vttbr = root & VTTBR_BADDR;

	if (has(s, S2_ARM64_LPA2)) {
		vttbr |= (root >> VTTBR_BADDR_TOP_SHIFT) & VTTBR_BADDR_TOP;
	}
	vttbr |= (uint64_t)(has(s, S2_ARM64_VMID16) ? vmid : vmid & 0xff) << VTTBR_VMID_SHIFT;
	return vttbr | (has(s, S2_ARM64_CNP) ? VTTBR_CNP : 0);
}

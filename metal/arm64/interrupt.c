/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two interrupts that end a guest's run: the hypervisor's timer, and the other processor's
 * kick. GICv3 (Arm IHI 0069), as little of it as that takes. HCR_EL2.IMO sends both to EL2; while
 * EL2 runs they stay pending.
 */
#include "machine_arm64.h"

#define ID_KICK 0u	 /* an SGI */
#define ID_DEADLINE 26u	 /* the PPI of CNTHP (Arm Base System Architecture) */
#define ID_SPECIAL 1020u /* from here on: there is none */

#define GICD_CTLR UINT64_C(0x08000000)
#define GICD_CTLR_RWP (1u << 31)
#define GICD_CTLR_ARE (1u << 4)
#define GICD_CTLR_GROUP1 (1u << 1)

/* Each processor's redistributor: 64 KiB for itself, 64 KiB for its SGIs and PPIs. */
#define GICR UINT64_C(0x080a0000)
#define GICR_SIZE UINT64_C(0x20000)
#define GICR_WAKER 0x0014
#define GICR_WAKER_SLEEP (1u << 1)
#define GICR_WAKER_CHILDREN_ASLEEP (1u << 2)
#define GICR_IGROUPR0 0x10080
#define GICR_ISENABLER0 0x10100

#define SRE_ENABLE (1u << 3)
#define SRE_SRE (1u << 0)
#define SGI1R_ID_SHIFT 24

#define CNTHP_CTL_ENABLE (1u << 0)

REGISTER(icc_sre_el2);
REGISTER(icc_pmr_el1);
REGISTER(icc_igrpen1_el1);
REGISTER(icc_iar1_el1);
REGISTER(icc_eoir1_el1);
REGISTER(icc_sgi1r_el1);
REGISTER(cntfrq_el0);
REGISTER(cntpct_el0);
REGISTER(cnthp_ctl_el2);
REGISTER(cnthp_cval_el2);

void interrupt_init_machine(void)
{
	*device(GICD_CTLR) = GICD_CTLR_ARE | GICD_CTLR_GROUP1;
	while (*device(GICD_CTLR) & GICD_CTLR_RWP) {
		machine_relax();
	}
}

void interrupt_init_cpu(void)
{
	uint64_t gicr = GICR + machine_cpu() * GICR_SIZE;
	uint32_t both = 1u << ID_KICK | 1u << ID_DEADLINE;

	*device(gicr + GICR_WAKER) &= ~GICR_WAKER_SLEEP;
	while (*device(gicr + GICR_WAKER) & GICR_WAKER_CHILDREN_ASLEEP) {
		machine_relax();
	}
	*device(gicr + GICR_IGROUPR0) = UINT32_MAX;
	*device(gicr + GICR_ISENABLER0) = both;

	write_icc_sre_el2(SRE_SRE | SRE_ENABLE);
	DO("isb");
	write_icc_pmr_el1(0xff);
	write_icc_igrpen1_el1(1);
	write_cnthp_ctl_el2(0);
	DO("isb");
}

/* The processors have the affinities 0 and 1. What we have written comes before the interrupt. */
void machine_kick(void)
{
	DO("dsb ishst");
	write_icc_sgi1r_el1((uint64_t)ID_KICK << SGI1R_ID_SHIFT | 1u << (1 - machine_cpu()));
	DO("isb");
}

enum interrupt interrupt_take(void)
{
	uint32_t id = (uint32_t)read_icc_iar1_el1();

	DO("dsb sy");
	if (id >= ID_SPECIAL) {
		return INTERRUPT_NONE;
	}
	/* The timer's interrupt is its level: it must be low before the end. */
	if (id == ID_DEADLINE) {
		deadline_clear();
	}
	write_icc_eoir1_el1(id);
	DO("isb");
	return id == ID_DEADLINE ? INTERRUPT_DEADLINE : INTERRUPT_KICK;
}

uint64_t deadline_after(uint64_t microseconds)
{
	DO("isb");
	return read_cntpct_el0() + microseconds * read_cntfrq_el0() / 1000000;
}

void deadline_set(uint64_t time)
{
	write_cnthp_cval_el2(time);
	write_cnthp_ctl_el2(CNTHP_CTL_ENABLE);
	DO("isb");
}

void deadline_clear(void)
{
	write_cnthp_ctl_el2(0);
	DO("isb");
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The variants worth testing, and what the manuals say of them. */
#include "walk.h"

#include <string.h>

#include <stage2/arm64.h>
#include <stage2/mock.h>
#include <stage2/riscv.h>
#include <stage2/s390.h>
#include <stage2/x86.h>

#define LG2(n) (UINT64_C(1) << (n))
#define K4 LG2(12)

/* Leaves of the arm64 root's level and below it; groups of 16 of each but the largest. */
#define ARM_SINGLE_1 (K4 | LG2(21))
#define ARM_SINGLE_2 (ARM_SINGLE_1 | LG2(30))
#define ARM_SINGLE_3 (ARM_SINGLE_2 | LG2(39))
#define ARM_GROUP_1 (LG2(16) | LG2(25))
#define ARM_GROUP_2 (ARM_GROUP_1 | LG2(34))

#define ARM(name_, gpa, hpa, features_, single, group, items, top_)                              \
	{                                                                                        \
		.name = "arm64-" name_, .kind = MACHINE_ARM64, .gpa_bits = gpa, .hpa_bits = hpa, \
		.features = features_, .leaf_sizes = (single) | (group), .group_sizes = group,   \
		.root_items = items, .top = top_                                                 \
	}

#define RISCV_SINGLE_2 (K4 | LG2(21) | LG2(30))
#define RISCV_SINGLE_3 (RISCV_SINGLE_2 | LG2(39))
#define RISCV_SINGLE_4 (RISCV_SINGLE_3 | LG2(48))
#define RISCV(name_, gpa, features_, single, top_)                                              \
	{                                                                                       \
		.name = "riscv-" name_, .kind = MACHINE_RISCV, .gpa_bits = gpa, .hpa_bits = 56, \
		.features = features_,                                                          \
		.leaf_sizes = (single) | (((features_)&S2_RISCV_SVNAPOT) != 0 ? LG2(16) : 0),   \
		.group_sizes = ((features_)&S2_RISCV_SVNAPOT) != 0 ? LG2(16) : 0,               \
		.root_items = 2048, .top = top_                                                 \
	}
#define SV39X4(name, features) RISCV("sv39x4-" name, 41, features, RISCV_SINGLE_2, 2)
#define SV48X4(name, features) RISCV("sv48x4-" name, 50, features, RISCV_SINGLE_3, 3)
#define SV57X4(name, features) RISCV("sv57x4-" name, 59, features, RISCV_SINGLE_4, 4)
#define RISCV_ALL (S2_RISCV_SVNAPOT | S2_RISCV_SVPBMT | S2_RISCV_SVADU | S2_RISCV_SVVPTC)

#define X86(name_, kind_, gpa, hpa, features_, large, top_)                                \
	{                                                                                  \
		.name = name_, .kind = kind_, .gpa_bits = gpa, .hpa_bits = hpa,            \
		.features = features_,                                                     \
		.leaf_sizes = K4 | LG2(21) | (((features_) & (large)) != 0 ? LG2(30) : 0), \
		.root_items = 512, .top = top_                                             \
	}
#define EPT(name, gpa, hpa, features, top) \
	X86("ept-" name, MACHINE_EPT, gpa, hpa, features, S2_EPT_1G, top)
#define NPT(name, gpa, hpa, features, top) \
	X86("npt-" name, MACHINE_NPT, gpa, hpa, features, S2_NPT_1G, top)

#define S390(name_, gpa, hpa, features_, large, top_)                                              \
	{                                                                                          \
		.name = "s390-" name_, .kind = MACHINE_S390, .gpa_bits = gpa, .hpa_bits = hpa,     \
		.features = features_, .leaf_sizes = K4 | (large), .root_items = 2048, .top = top_ \
	}
#define EDAT1 S2_S390_EDAT1
#define EDAT2 (S2_S390_EDAT1 | S2_S390_EDAT2)

#define MOCK(name_, gpa, hpa, features_, items, top_)                                            \
	{                                                                                        \
		.name = "mock-" name_, .kind = MACHINE_MOCK, .gpa_bits = gpa, .hpa_bits = hpa,   \
		.features = features_, .leaf_sizes = K4 | LG2(14) | LG2(19) | LG2(22) | LG2(29), \
		.group_sizes = LG2(14) | LG2(22), .root_items = items, .top = top_               \
	}

const struct machine_variant machines[] = {
	MOCK("32", 32, 36, 0, 8, 2),
	MOCK("38-marks", 38, 48, S2_MOCK_MACHINE_MARKS, 512, 2),
	MOCK("39-flush", 39, 44, S2_MOCK_FLUSH_ON_MAP, 16, 3),
	MOCK("48-marks-flush", 48, 48, S2_MOCK_FEATURES_ALL, 8192, 3),
	MOCK("48", 48, 48, 0, 8192, 3),

	ARM("32", 32, 40, 0, ARM_SINGLE_1, 0, 2048, 1),
	ARM("34-cont", 34, 40, S2_ARM64_CONT, ARM_SINGLE_1, ARM_GROUP_1, 8192, 1),
	ARM("35-cont-bbm2", 35, 36, S2_ARM64_CONT | S2_ARM64_BBM2, ARM_SINGLE_2, ARM_GROUP_2, 32,
	    2),
	ARM("36-ha-xnx", 36, 40, S2_ARM64_HA | S2_ARM64_XNX, ARM_SINGLE_2, 0, 64, 2),
	ARM("39-cont-ttl", 39, 40, S2_ARM64_CONT | S2_ARM64_TTL, ARM_SINGLE_2, ARM_GROUP_2, 512, 2),
	ARM("40-fwb", 40, 40, S2_ARM64_FWB, ARM_SINGLE_2, 0, 1024, 2),
	ARM("40-cont-fwb-ha-hd", 40, 44,
	    S2_ARM64_CONT | S2_ARM64_FWB | S2_ARM64_HA | S2_ARM64_HD | S2_ARM64_TLBIRANGE,
	    ARM_SINGLE_2, ARM_GROUP_2, 1024, 2),
	ARM("42-bbm1", 42, 44, S2_ARM64_BBM1, ARM_SINGLE_2, 0, 4096, 2),
	ARM("43-cont-bbm1-ha", 43, 44, S2_ARM64_CONT | S2_ARM64_BBM1 | S2_ARM64_HA, ARM_SINGLE_2,
	    ARM_GROUP_2, 8192, 2),
	ARM("44-bbm2", 44, 48, S2_ARM64_BBM2, ARM_SINGLE_2, 0, 32, 3),
	ARM("48", 48, 48, 0, ARM_SINGLE_2, 0, 512, 3),
	ARM("48-cont-bbm2-ha-hd-xnx-fwb", 48, 48, S2_ARM64_FEATURES_ALL & ~(uint64_t)S2_ARM64_LPA2,
	    ARM_SINGLE_2, ARM_GROUP_2, 512, 3),
	ARM("48-lpa2", 48, 52, S2_ARM64_LPA2, ARM_SINGLE_3, 0, 512, 3),
	ARM("52-lpa2-cont", 52, 52, S2_ARM64_LPA2 | S2_ARM64_CONT | S2_ARM64_FWB, ARM_SINGLE_3,
	    ARM_GROUP_2, 8192, 3),
	ARM("52-lpa2-cont-bbm2", 52, 52, S2_ARM64_LPA2 | S2_ARM64_CONT | S2_ARM64_BBM2,
	    ARM_SINGLE_3, ARM_GROUP_2, 8192, 3),
	ARM("52-all", 52, 52, S2_ARM64_FEATURES_ALL, ARM_SINGLE_3, ARM_GROUP_2, 8192, 3),

	SV39X4("plain", 0),
	SV39X4("svnapot", S2_RISCV_SVNAPOT),
	SV39X4("svadu", S2_RISCV_SVADU),
	SV39X4("svvptc-svpbmt", S2_RISCV_SVVPTC | S2_RISCV_SVPBMT),
	SV39X4("svnapot-svadu", S2_RISCV_SVNAPOT | S2_RISCV_SVADU),
	SV39X4("all", RISCV_ALL),
	SV48X4("plain", 0),
	SV48X4("svnapot-svvptc", S2_RISCV_SVNAPOT | S2_RISCV_SVVPTC),
	SV48X4("svadu-svpbmt", S2_RISCV_SVADU | S2_RISCV_SVPBMT),
	SV48X4("all", RISCV_ALL),
	SV57X4("plain", 0),
	SV57X4("svnapot-svpbmt", S2_RISCV_SVNAPOT | S2_RISCV_SVPBMT),
	SV57X4("svadu-svvptc", S2_RISCV_SVADU | S2_RISCV_SVVPTC),
	SV57X4("all", RISCV_ALL),

	EPT("4", 48, 46, 0, 3),
	EPT("4-small", 30, 39, S2_EPT_1G, 3),
	EPT("4-1g-ad", 48, 46, S2_EPT_1G | S2_EPT_AD, 3),
	EPT("4-1g-mbe-xo", 40, 40, S2_EPT_1G | S2_EPT_MBE | S2_EPT_EXEC_ONLY, 3),
	EPT("4-ad-mbe", 48, 52, S2_EPT_AD | S2_EPT_MBE, 3),
	EPT("5-forced", 48, 52, S2_EPT_5LEVEL | S2_EPT_1G, 4),
	EPT("5", 57, 52, S2_EPT_1G | S2_EPT_5LEVEL, 4),
	EPT("5-all", 57, 52, S2_EPT_FEATURES_ALL, 4),

	NPT("4", 48, 48, 0, 3),
	NPT("4-1g", 40, 40, S2_NPT_1G, 3),
	NPT("5", 57, 52, S2_NPT_1G | S2_NPT_5LEVEL, 4),
	NPT("5-forced", 48, 52, S2_NPT_5LEVEL, 4),

	S390("31", 31, 48, 0, 0, 1),
	S390("31-edat1", 31, 64, EDAT1, LG2(20), 1),
	S390("42", 42, 64, 0, 0, 2),
	S390("42-edat1-iep", 42, 48, EDAT1 | S2_S390_IEP, LG2(20), 2),
	S390("42-edat2", 42, 64, EDAT2, LG2(20) | LG2(31), 2),
	S390("53-edat2", 53, 64, EDAT2, LG2(20) | LG2(31), 3),
	S390("64", 64, 64, 0, 0, 4),
	S390("64-edat2-iep", 64, 64, EDAT2 | S2_S390_IEP, LG2(20) | LG2(31), 4),
};

const size_t machine_count = sizeof(machines) / sizeof(machines[0]);

const struct machine_variant *machine_find(const char *name)
{
	for (size_t i = 0; i < machine_count; i++) {
		if (strcmp(machines[i].name, name) == 0) {
			return &machines[i];
		}
	}
	return NULL;
}

static bool mem_can_be_said(const struct machine_variant *v, enum s2_mem mem)
{
	switch (v->kind) {
	case MACHINE_MOCK:
	case MACHINE_EPT:
		return true;
	case MACHINE_ARM64:
		return mem == S2_MEM_NORMAL || mem == S2_MEM_NC || mem == S2_MEM_DEVICE;
	case MACHINE_RISCV:
		return mem == S2_MEM_NORMAL || ((v->features & S2_RISCV_SVPBMT) != 0 &&
						(mem == S2_MEM_NC || mem == S2_MEM_DEVICE));
	case MACHINE_NPT:
		return mem == S2_MEM_NORMAL || mem == S2_MEM_WT || mem == S2_MEM_DEVICE;
	case MACHINE_S390:
	case MACHINE_KIND_COUNT:
		break;
	}
	return mem == S2_MEM_NORMAL;
}

/* Are the guest's kernel and its user programs told apart? */
static bool splits_exec(const struct machine_variant *v)
{
	switch (v->kind) {
	case MACHINE_MOCK:
		return true;
	case MACHINE_ARM64:
		return (v->features & S2_ARM64_XNX) != 0;
	case MACHINE_EPT:
		return (v->features & S2_EPT_MBE) != 0;
	case MACHINE_RISCV:
	case MACHINE_NPT:
	case MACHINE_S390:
	case MACHINE_KIND_COUNT:
		break;
	}
	return false;
}

static bool can_exec_only(const struct machine_variant *v)
{
	switch (v->kind) {
	case MACHINE_MOCK:
	case MACHINE_ARM64:
	case MACHINE_RISCV:
		return true;
	case MACHINE_EPT:
		return (v->features & S2_EPT_EXEC_ONLY) != 0;
	case MACHINE_NPT:
	case MACHINE_S390:
	case MACHINE_KIND_COUNT:
		break;
	}
	return false;
}

bool machine_can_say(const struct machine_variant *v, unsigned prot, enum s2_mem mem)
{
	unsigned exec = prot & (S2_EXEC | S2_EXEC_USER);

	if (!mem_can_be_said(v, mem) || (prot & S2_RW) == S2_WRITE) {
		return false;
	}
	if ((prot & S2_READ) == 0 && !can_exec_only(v)) {
		return false;
	}
	if ((exec == S2_EXEC || exec == S2_EXEC_USER) && !splits_exec(v)) {
		return false;
	}
	return exec != 0 || v->kind != MACHINE_S390 || (v->features & S2_S390_IEP) != 0;
}

/* For the functions of the walkers, which want a machine. */
static const struct machine_ops *ops_for(const struct machine_variant *v, struct machine *m)
{
	memset(m, 0, sizeof(*m));
	m->features = v->features;
	return ops_of(v->kind);
}

bool machine_marks_accessed(const struct machine_variant *v)
{
	struct machine m;

	return (ops_for(v, &m)->marks(&m) & MARK_ACCESSED) != 0;
}

bool machine_marks_dirty(const struct machine_variant *v)
{
	struct machine m;

	return (ops_for(v, &m)->marks(&m) & MARK_DIRTY) != 0;
}

bool machine_caches_none(const struct machine_variant *v)
{
	struct machine m;

	return ops_for(v, &m)->caches_none(&m);
}

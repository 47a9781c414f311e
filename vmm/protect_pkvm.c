/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pKVM's protected VMs. The guest's share and unshare hypercalls end in the hypervisor: all that is
 * left to us is what the guest reports through the control device.
 */
#include <inttypes.h>
#include <kvm_compat.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/resource.h>

#include "preflight.h"
#include "protect.h"
#include "stats.h"

/*
 * KVM pins what a protected guest touches and counts it as locked memory (Linux,
 * arch/arm64/kvm/mmu.c, account_locked_vm); at the limit the guest dies in mid-boot.
 */
static int check_locking(const struct vm *vm)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur >= vm->config.memory || preflight_may(CAP_IPC_LOCK)) {
		return 0;
	}
	log_error("a protected guest may lock all of its %" PRIu64 " MiB, but the limit is %" PRIu64
		  " KiB: raise it with 'ulimit -l', or run as root",
		  vm->config.memory >> 20, (uint64_t)limit.rlim_cur >> 10);
	return EXIT_CODE_NO_PERMISSION;
}

static int check(const struct vm *vm)
{
	/* The kernel refuses to donate pages of real files (arch/arm64/kvm/mmu.c, -EIO). */
	int code = preflight_tmpfs(vm, "KVM gives it swap-backed memory only");

	return code ? code : check_locking(vm);
}

static void stats(const struct vm *vm)
{
	(void)vm;
	fprintf(stderr, "stage2: stats: donated to the guest %" PRIu64 " pages of 4K\n",
		stats_donated_pages());
}

const struct protect_ops protect_pkvm = {.arch = "aarch64",
					 .secret = true,
					 .vm_type = KVM_VM_TYPE_ARM_PROTECTED,
					 .check = check,
					 .create = protect_create_slot,
					 .stats = stats};

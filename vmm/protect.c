/* SPDX-License-Identifier: BSD-2-Clause */
#include "protect.h"

#include <errno.h>
#include <kvm_compat.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vm.h"

const struct protect_ops protect_none = {.create = protect_create_slot};

static const struct protect_ops *const kinds[PROTECT_KIND_COUNT] = {
	[PROTECT_NONE] = &protect_none,
	[PROTECT_PKVM] = &protect_pkvm,
	[PROTECT_SW] = &protect_sw,
#ifdef HAVE_LIBCRYPTO
	[PROTECT_UV] = &protect_uv,
#endif
};

static const char *const names[PROTECT_KIND_COUNT] = {"none", "pkvm", "sw", "uv"};

const struct protect_ops *protect_ops(enum protect_kind kind)
{
	return kinds[kind];
}

bool protect_parse(const char *name, enum protect_kind *out)
{
	for (unsigned int i = 0; i < PROTECT_KIND_COUNT; i++) {
		if (!strcmp(names[i], name)) {
			*out = (enum protect_kind)i;
			return true;
		}
	}
	return false;
}

const char *protect_name(enum protect_kind kind)
{
	return names[kind];
}

int protect_slot(struct vm *vm, s2_hva_t hva)
{
	const struct ram *ram = &vm->memory.ram;
	struct kvm_userspace_memory_region slot = {.guest_phys_addr = ram->gpa.val,
						   .memory_size = ram->len,
						   .userspace_addr = hva.val};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot)) {
		log_error("cannot give the memory to KVM: %s", strerror(errno));
		return EXIT_CODE_OS;
	}
	return 0;
}

int protect_create_slot(struct vm *vm)
{
	return protect_slot(vm, vm->memory.ram.hva);
}

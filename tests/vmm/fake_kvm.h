/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A KVM with private memory that is no KVM: attributes are an array, the guest_memfd is a memfd. It stands in
 * for the kernel by taking the place of ioctl(), mprotect(), madvise() and fallocate() in the test's
 * program; each of these calls can be made to fail, and each is shown to the test first.
 */
#ifndef TESTS_VMM_FAKE_KVM_H
#define TESTS_VMM_FAKE_KVM_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <kvm_compat.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protect.h"
#include "vm.h"

#define FAKE_KVM_FD 1000
#define FAKE_VM_FD 1001
#define FAKE_PAGES 64

static struct fake_kvm {
	bool is_private[FAKE_PAGES];
	int memory;			 /* the memfd */
	uint64_t attributes;		 /* KVM_SET_MEMORY_ATTRIBUTES made */
	unsigned int calls;		 /* since fake_arm(): all that could fail */
	unsigned int fail_from, fail_to; /* of those, counted from 1: they fail with ENOMEM */
	void (*watch)(void);
} fake;

/* The next calls are counted from 1; those from `from` to `to` fail. */
static inline void fake_arm(unsigned int from, unsigned int to)
{
	fake.calls = 0;
	fake.fail_from = from;
	fake.fail_to = to;
}

static bool fake_fails(void)
{
	fake.calls++;
	if (fake.watch) {
		fake.watch();
	}
	errno = ENOMEM;
	return fake.calls >= fake.fail_from && fake.calls <= fake.fail_to;
}

static int fake_set_attributes(const struct kvm_memory_attributes *wanted)
{
	ck_assert_uint_eq(wanted->flags, 0);
	ck_assert_uint_ne(wanted->size, 0);
	ck_assert_uint_eq((wanted->address | wanted->size) % S2_PAGE_SIZE, 0);
	ck_assert_uint_le((wanted->address + wanted->size) / S2_PAGE_SIZE, FAKE_PAGES);
	if (fake_fails()) {
		return -1;
	}
	fake.attributes++;
	for (uint64_t i = 0; i < wanted->size / S2_PAGE_SIZE; i++) {
		fake.is_private[wanted->address / S2_PAGE_SIZE + i] = wanted->attributes;
	}
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	void *argument;
	va_list list;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if (fd != FAKE_KVM_FD && fd != FAKE_VM_FD) {
		return (int)syscall(SYS_ioctl, fd, request, argument);
	}
	switch (request) {
	case KVM_CHECK_EXTENSION:
		return 1;
	case KVM_SET_MEMORY_ATTRIBUTES:
		return fake_set_attributes(argument);
	case KVM_CREATE_GUEST_MEMFD:
		fake.memory = memfd_create("fake-guest-memfd", MFD_CLOEXEC);
		ck_assert_int_eq(
			ftruncate(fake.memory,
				  (off_t)((struct kvm_create_guest_memfd *)argument)->size),
			0);
		return fake.memory;
	case KVM_ENABLE_CAP:
	case KVM_SET_USER_MEMORY_REGION2:
		return 0;
	default:
		errno = ENOTTY;
		return -1;
	}
}

int mprotect(void *start, size_t len, int rights)
{
	return fake_fails() ? -1 : (int)syscall(SYS_mprotect, start, len, rights);
}

int madvise(void *start, size_t len, int advice)
{
	return fake_fails() ? -1 : (int)syscall(SYS_madvise, start, len, advice);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	return fake_fails() ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

/* A VM of FAKE_PAGES pages at 0, protected by sw, that has just been created: not started. */
static inline void fake_create(struct vm *vm, enum ram_backing backing)
{
	const uint64_t len = FAKE_PAGES * S2_PAGE_SIZE;
	struct ram ram;

	fake = (struct fake_kvm){.memory = -1};
	*vm = (struct vm){.config = {.protect = PROTECT_SW,
				     .memory = len,
				     .cpu_count = 2,
				     .backing = backing},
			  .kvm = FAKE_KVM_FD,
			  .fd = FAKE_VM_FD};
	ck_assert_int_eq(ram_init(&ram, s2_gpa(0), len, backing, S2_PAGE_SIZE, -1), 0);
	ck_assert_int_eq(memory_init(&vm->memory, &protect_sw, &ram, true), S2_OK);
	ck_assert_int_eq(protect_sw.create(vm), 0);
}

static inline void fake_destroy(struct vm *vm)
{
	fake.watch = NULL;
	fake_arm(0, 0);
	memory_fini(&vm->memory);
}

/* The guest writes, wherever KVM would have it write. */
static inline void fake_guest_write(struct vm *vm, uint64_t page, uint64_t value)
{
	if (fake.is_private[page]) {
		ck_assert_int_eq(
			pwrite(fake.memory, &value, sizeof(value), (off_t)(page * S2_PAGE_SIZE)),
			sizeof(value));
	} else {
		memcpy(ram_hva(&vm->memory.ram, s2_gpa(page * S2_PAGE_SIZE)), &value,
		       sizeof(value));
	}
}

static inline uint64_t fake_guest_read(struct vm *vm, uint64_t page)
{
	uint64_t value = 0;

	if (fake.is_private[page]) {
		ck_assert_int_eq(
			pread(fake.memory, &value, sizeof(value), (off_t)(page * S2_PAGE_SIZE)),
			sizeof(value));
	} else {
		memcpy(&value, ram_hva(&vm->memory.ram, s2_gpa(page * S2_PAGE_SIZE)),
		       sizeof(value));
	}
	return value;
}

/* Has the page memory in the guest_memfd; has it any behind RAM's mapping? */
static inline bool fake_has_private(uint64_t page)
{
	const off_t at = (off_t)(page * S2_PAGE_SIZE);

	return lseek(fake.memory, at, SEEK_DATA) == at;
}

static inline bool fake_has_shared(struct vm *vm, uint64_t page)
{
	unsigned char present;

	ck_assert_int_eq(mincore(ram_hva(&vm->memory.ram, s2_gpa(page * S2_PAGE_SIZE)),
				 S2_PAGE_SIZE, &present),
			 0);
	return present & 1;
}

#endif

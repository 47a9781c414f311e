/* SPDX-License-Identifier: BSD-2-Clause */
#include "convert_cost.h"

#include <errno.h>
#include <fcntl.h>
#include <kvm_compat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protect.h"
#include "stats.h"
#include "vm.h"

#define SIZE (UINT64_C(1) << 21)
#define PLACE (UINT64_C(4) << 20) /* from the start of RAM: behind any payload */
#define ROUNDS 101

/* A VM with private memory and nothing else. */
struct bare {
	int kvm;
	int vm;
	int vcpu;
	int memory; /* guest_memfd */
	struct ram ram;
};

struct samples {
	double to_private[ROUNDS];
	double to_shared[ROUNDS];
};

static int failed(const char *what)
{
	log_error("cannot %s: %s", what, strerror(errno));
	return EXIT_CODE_OS;
}

static void bare_destroy(struct bare *bare)
{
	const int fds[] = {bare->vcpu, bare->memory, bare->vm, bare->kvm};

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (fds[i] >= 0) {
			close(fds[i]);
		}
	}
	ram_fini(&bare->ram);
}

static int bare_create(struct bare *bare, uint64_t memory, enum ram_backing backing)
{
	struct kvm_create_guest_memfd memfd = {.size = memory};
	struct kvm_userspace_memory_region2 slot = {.flags = KVM_MEM_GUEST_MEMFD,
						    .memory_size = memory};

	*bare = (struct bare){.kvm = -1, .vm = -1, .vcpu = -1, .memory = -1};
	if (ram_init(&bare->ram, s2_gpa(0), memory, backing, SIZE, -1)) {
		return failed("get memory to compare with");
	}
	bare->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	bare->vm = ioctl(bare->kvm, KVM_CREATE_VM, (unsigned long)KVM_X86_SW_PROTECTED_VM);
	bare->memory = ioctl(bare->vm, KVM_CREATE_GUEST_MEMFD, &memfd);
	bare->vcpu = ioctl(bare->vm, KVM_CREATE_VCPU, 0);
	slot.userspace_addr = bare->ram.hva.val;
	slot.guest_memfd = (uint32_t)bare->memory;
	if (bare->memory < 0 || bare->vcpu < 0 ||
	    ioctl(bare->vm, KVM_SET_USER_MEMORY_REGION2, &slot)) {
		return failed("create a VM to compare with");
	}
	return 0;
}

static int bare_attribute(const struct bare *bare, uint64_t attribute)
{
	struct kvm_memory_attributes attributes = {
		.address = PLACE, .size = SIZE, .attributes = attribute};

	return ioctl(bare->vm, KVM_SET_MEMORY_ATTRIBUTES, &attributes);
}

/* The system calls by hand: tell KVM, free the other side. */
static int bare_to_private(const struct bare *bare)
{
	const bool file = bare->ram.backing == RAM_MEMFD;

	return bare_attribute(bare, KVM_MEMORY_ATTRIBUTE_PRIVATE) ||
	       madvise(ram_hva(&bare->ram, s2_gpa(PLACE)), SIZE,
		       file ? MADV_REMOVE : MADV_DONTNEED);
}

static int bare_to_shared(const struct bare *bare)
{
	return bare_attribute(bare, 0) ||
	       fallocate(bare->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PLACE, SIZE);
}

static int ours(struct vm *vm, enum s2_move move)
{
	enum s2_err err;

	memory_lock(&vm->memory);
	err = memory_convert(&vm->memory, move, s2_range(s2_gpa(PLACE), SIZE));
	memory_unlock(&vm->memory);
	if (err) {
		errno = EIO;
	}
	return err != S2_OK;
}

/* Every page is there and in KVM's tables, as a guest that uses it would have it. Not timed. */
static int use(int vcpu, const struct ram *ram, bool shared)
{
	struct kvm_pre_fault_memory fault = {.gpa = PLACE, .size = SIZE};

	if (shared) {
		memset(ram_hva(ram, s2_gpa(PLACE)), 1, SIZE);
	}
	while (fault.size) {
		if (ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &fault) && errno != EAGAIN &&
		    errno != EINTR) {
			return failed("have KVM fault pages in");
		}
	}
	return 0;
}

/* One round of both, in an order that changes; what is to be converted is in use. */
static int round_trip(struct vm *vm, const struct bare *bare, unsigned int i,
		      struct samples sample[2])
{
	const int vcpu[2] = {vm->vcpu[0].fd, bare->vcpu};
	const struct ram *ram[2] = {&vm->memory.ram, &bare->ram};
	int code = 0;

	for (unsigned int turn = 0; turn < 4 && !code; turn++) {
		const unsigned int who = (turn ^ i) & 1;
		const bool to_shared = turn < 2;
		double start;
		int err;

		code = use(vcpu[who], ram[who], !to_shared);
		start = stats_now();
		if (who) {
			err = to_shared ? bare_to_shared(bare) : bare_to_private(bare);
		} else {
			err = ours(vm, to_shared ? S2_SHARE : S2_UNSHARE);
		}
		(to_shared ? sample[who].to_shared : sample[who].to_private)[i] =
			stats_now() - start;
		code = !code && err ? failed("convert 2 MiB") : code;
	}
	return code;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_line(const char *name, double *mine, double *limit)
{
	qsort(mine, ROUNDS, sizeof(*mine), compare);
	qsort(limit, ROUNDS, sizeof(*limit), compare);
	printf("%-12s %10.1f %10.1f %7.2f %10.1f %10.1f %7.2f\n", name, mine[0] * 1e6,
	       limit[0] * 1e6, mine[0] / limit[0], mine[ROUNDS / 2] * 1e6, limit[ROUNDS / 2] * 1e6,
	       mine[ROUNDS / 2] / limit[ROUNDS / 2]);
}

static int measure(struct vm *vm, struct bare *bare, struct samples sample[2])
{
	int code = vm_load(vm);

	if (!code) {
		code = vm_start(vm);
	}
	if (!code && bare_attribute(bare, KVM_MEMORY_ATTRIBUTE_PRIVATE)) {
		code = failed("make memory private");
	}
	for (unsigned int i = 0; i < ROUNDS && !code; i++) {
		code = round_trip(vm, bare, i, sample);
	}
	if (code) {
		return code;
	}
	printf("2 MiB %s, microseconds%s%s, %u rounds\n", ram_backing_name(bare->ram.backing),
	       stats_board() ? ", emulated: " : "", stats_board() ? stats_board() : "", ROUNDS);
	printf("%-12s %10s %10s %7s %10s %10s %7s\n", "", "best", "bare", "ratio", "median", "bare",
	       "ratio");
	print_line("to private", sample[0].to_private, sample[1].to_private);
	print_line("to shared", sample[0].to_shared, sample[1].to_shared);
	return 0;
}

int convert_cost(const char *payload, uint64_t memory, enum ram_backing backing)
{
	const struct vm_config config = {.protect = PROTECT_SW,
					 .memory = memory,
					 .cpu_count = 1,
					 .backing = backing,
					 .kernel = payload,
					 .console_out = STDERR_FILENO};
	struct samples *sample;
	struct bare bare;
	struct vm vm;
	int code;

	if (memory < PLACE + SIZE) {
		log_error("--memory is too little to convert 2 MiB of it: use 8M or more");
		return EXIT_CODE_USAGE;
	}
	sample = calloc(2, sizeof(*sample));
	if (!sample) {
		return failed("keep the samples");
	}
	code = vm_create(&vm, &config);
	if (!code) {
		code = bare_create(&bare, memory, backing);
		if (!code) {
			code = measure(&vm, &bare, sample);
		}
		bare_destroy(&bare);
		vm_destroy(&vm);
	}
	free(sample);
	return code;
}

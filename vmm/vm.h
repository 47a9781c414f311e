/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual machine: KVM's, its memory, its devices, its vCPUs.
 *
 * The order of a VM's life, which is also the order of the calls: vm_create(), vm_load(), vm_start(),
 * then vcpu_run() in one thread a vCPU until vm_stopped(), then vm_destroy(). KVM freezes the memory
 * slots of a protected VM at its first run (Linux, arch/arm64/kvm/mmu.c), so all is laid out before.
 *
 * What returns int returns 0 or an exit code (log.h) after one line on stderr.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <pthread.h>

#include "bus.h"
#include "control.h"
#include "log.h"
#include "memory.h"
#include "protect.h"
#include "serial.h"

struct vm_config {
	enum protect_kind protect;
	uint64_t memory; /* bytes */
	unsigned int cpu_count;
	const char *kernel; /* path */
	const char *initrd; /* path, or NULL */
	const char *append; /* kernel command line, or NULL */
	enum ram_backing backing;
	const char *backing_path; /* RAM_FILE */
	bool populate;		  /* allocate all memory before the start */
	bool inject_errors;	  /* the guest may ask for memory errors: for tests */
	const struct ram *ram;	  /* RAM to use, lent by the caller, or NULL to make some */
	int console_out;	  /* file descriptor for the serial console's output */
};

#define VM_CPU_MAX 8

struct vcpu {
	struct vm *vm;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	bool threaded;	/* thread is valid; under vm->stop_lock */
	uint64_t exits; /* returns of KVM_RUN */
	uint64_t exits_mmio;
	uint64_t faults; /* memory that was not there for the guest as it wanted it, and then was */
};

/* Where the image was put: what a vCPU and the device tree need to know. */
struct vm_image {
	s2_gpa_t entry;
	s2_gpa_t info; /* the device tree, or what stands for it */
	s2_gpa_t initrd;
	uint64_t initrd_len; /* 0: none */
};

struct vm {
	struct vm_config config;
	int kvm; /* /dev/kvm */
	int fd;
	int irqchip; /* the architecture's interrupt controller device, or -1 */
	bool have_memory;
	struct memory memory;
	struct bus bus;
	struct serial serial;
	struct control control;
	struct vm_image image;
	struct vcpu vcpu[VM_CPU_MAX];
	unsigned int vcpu_count;
	pthread_mutex_t stop_lock;
	int stop_event; /* eventfd: readable once the VM is stopping */
	bool stopping;
	int exit_code;
	double first_run;   /* seconds on CLOCK_MONOTONIC, 0 before */
	uint64_t unclaimed; /* MMIO accesses that no device answered */
};

/*
 * Checks that this host can run the VM, and says which rule would break if it cannot; then creates VM,
 * memory, interrupt controller, devices and vCPUs. On failure nothing is left; vm_destroy() is not owed.
 */
int vm_create(struct vm *vm, const struct vm_config *config);

/* Loads kernel, initrd and device tree into memory that is still the host's. */
int vm_load(struct vm *vm);

/* Hands the memory to the guest. Right before the first vcpu_run(). */
int vm_start(struct vm *vm);

/*
 * Ends the VM with an exit code; the first call wins. Any thread, vCPU threads included. Kicks every
 * vCPU out of the guest.
 */
void vm_stop(struct vm *vm, int exit_code);
bool vm_stopped(struct vm *vm);

/*
 * Takes the memory errors that were reported to this thread, other than by KVM_RUN: early notice, and
 * what we ran into ourselves. No guest gets an abort for them before it uses the page.
 */
void vm_take_errors(struct vm *vm);

/* All vCPU threads have ended. Frees everything. */
void vm_destroy(struct vm *vm);

/*
 * Runs a vCPU until its next exit and handles that. Returns false when the VM is stopping. Always in
 * the same thread for one vCPU.
 */
bool vcpu_run(struct vcpu *vcpu);

/* The guest cannot go on, and why: one line, and the VM stops. In the vCPU's thread. */
void vcpu_failed(struct vcpu *vcpu, const char *why);

/*
 * Runs every vCPU in a thread of its own until the VM stops; vcpu_join() waits for them. On failure
 * the VM is stopping, and vcpu_join() is still owed.
 */
int vcpu_start(struct vm *vm);
void vcpu_join(struct vm *vm);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <kvm_compat.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arch.h"
#include "poison.h"
#include "protect.h"
#include "stats.h"

void vcpu_failed(struct vcpu *vcpu, const char *why)
{
	log_error("the guest cannot go on: %s (vCPU %u)", why, vcpu->index);
	vm_stop(vcpu->vm, EXIT_CODE_GUEST_FAILED);
}

/* What KVM_RUN's errors mean for a guest that has run before (Linux, arch/arm64/kvm/mmu.c). */
static void run_failed(struct vcpu *vcpu, int err)
{
	if (vm_stopped(vcpu->vm)) {
		return; /* somebody has said why already */
	}
	switch (err) {
	case ENOMEM:
		vcpu_failed(vcpu, "KVM is out of memory, or at the limit of locked memory: "
				  "raise 'ulimit -l', or use a smaller guest");
		break;
	case EFAULT:
		vcpu_failed(vcpu, "it touched memory that KVM cannot give it");
		break;
	case EHWPOISON:
		vcpu_failed(vcpu, "it used memory that has an error");
		break;
	case EIO:
		vcpu_failed(vcpu, "KVM cannot donate this memory: its backing is not swap-backed");
		break;
	case ENOSYS:
		vcpu_failed(vcpu, "it used a device in a way that KVM cannot emulate");
		break;
	default:
		vcpu_failed(vcpu, strerror(err));
		break;
	}
}

static void system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_stop(vcpu->vm, EXIT_CODE_OK);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_stop(vcpu->vm, EXIT_CODE_GUEST_RESET);
		break;
	default:
		vcpu_failed(vcpu, "it reported a crash");
		break;
	}
}

static void handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		vcpu->exits_mmio++;
		if (!bus_access(&vcpu->vm->bus, s2_gpa(run->mmio.phys_addr), run->mmio.data,
				run->mmio.len, run->mmio.is_write)) {
			__atomic_fetch_add(&vcpu->vm->unclaimed, 1, __ATOMIC_RELAXED);
		}
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		system_event(vcpu);
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_FAIL_ENTRY:
		vcpu_failed(vcpu, "the processor refused to enter it");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		vcpu_failed(vcpu, "KVM reported an internal error");
		break;
	default: {
		char why[64];

		if (arch_exit(vcpu)) {
			break;
		}
		snprintf(why, sizeof(why), "unknown exit %u from KVM", run->exit_reason);
		vcpu_failed(vcpu, why);
		break;
	}
	}
}

/*
 * KVM tells a guest's access to memory with an error by SIGBUS, to this thread, and goes on running the
 * guest only to run into it again (Linux, arch/arm64/kvm/mmu.c, kvm_send_hwpoison_signal).
 */
static void take_guest_errors(struct vcpu *vcpu)
{
	struct guard_error error;
	bool aborted = false;

	while (guard_error_take(&error)) {
		const uint64_t pages = poison_take(&vcpu->vm->memory, &error);

		if (!error.required || aborted) {
			continue;
		}
		if (!pages) {
			vcpu_failed(vcpu, "its memory has an error that is in no page of it");
		} else if (arch_vcpu_abort(vcpu)) {
			vcpu_failed(vcpu, "it used memory that has an error");
		}
		aborted = true;
	}
}

/*
 * The guest used memory that KVM does not have for it. If another vCPU's pages changed their state in the
 * meantime, that may be all there is to it; else the guest has said with its access what it wants.
 */
static bool fault_resolved(struct vcpu *vcpu, uint64_t conversions)
{
	struct memory *memory = &vcpu->vm->memory;
	struct kvm_compat_memory_fault fault;

	if (__atomic_load_n(&memory->conversions, __ATOMIC_ACQUIRE) != conversions) {
		return true;
	}
	if (vcpu->run->exit_reason != KVM_EXIT_MEMORY_FAULT || !memory->protect_ops->guest_fault) {
		return false;
	}
	memcpy(&fault, vcpu->run->padding, sizeof(fault));
	return !memory->protect_ops->guest_fault(memory, s2_range(s2_gpa(fault.gpa), fault.size),
						 fault.flags & KVM_MEMORY_EXIT_FLAG_PRIVATE);
}

bool vcpu_run(struct vcpu *vcpu)
{
	uint64_t conversions = __atomic_load_n(&vcpu->vm->memory.conversions, __ATOMIC_ACQUIRE);
	int err;

	if (vcpu->index == 0 && vcpu->exits == 0) {
		vcpu->vm->first_run = stats_now();
	}
	err = ioctl(vcpu->fd, KVM_RUN, 0) ? errno : 0;
	vcpu->exits++;
	take_guest_errors(vcpu);
	memory_drain(&vcpu->vm->memory);
	if (!err) {
		handle_exit(vcpu);
		vm_take_errors(vcpu->vm);
	} else if (err == EFAULT && fault_resolved(vcpu, conversions)) {
		vcpu->faults++;
	} else if (err != EINTR && err != EAGAIN) {
		run_failed(vcpu, err);
	}
	return !vm_stopped(vcpu->vm);
}

static void on_kick(int signal_number)
{
	(void)signal_number; /* being interrupted is all */
}

static void *vcpu_thread(void *cookie)
{
	struct vcpu *vcpu = cookie;

	while (vcpu_run(vcpu)) {
	}
	return NULL;
}

int vcpu_start(struct vm *vm)
{
	struct sigaction action = {.sa_handler = on_kick};
	int err = 0;

	sigemptyset(&action.sa_mask);
	sigaction(SIGUSR1, &action, NULL);
	for (unsigned int i = 0; i < vm->vcpu_count && !err; i++) {
		struct vcpu *vcpu = &vm->vcpu[i];

		pthread_mutex_lock(&vm->stop_lock);
		err = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
		vcpu->threaded = !err;
		pthread_mutex_unlock(&vm->stop_lock);
	}
	if (err) {
		log_error("cannot start a vCPU thread: %s", strerror(err));
		vm_stop(vm, EXIT_CODE_OS);
		return EXIT_CODE_OS;
	}
	return 0;
}

void vcpu_join(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		if (vm->vcpu[i].threaded) {
			pthread_join(vm->vcpu[i].thread, NULL);
			pthread_mutex_lock(&vm->stop_lock);
			vm->vcpu[i].threaded = false;
			pthread_mutex_unlock(&vm->stop_lock);
		}
	}
}

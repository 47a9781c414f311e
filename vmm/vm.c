/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <kvm_compat.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch.h"
#include "poison.h"
#include "preflight.h"

static int os_error(const char *what)
{
	log_error("cannot %s: %s", what, strerror(errno));
	return EXIT_CODE_OS;
}

/* The largest leaf that this KVM may map: where it does not say, the size of a THP. */
static uint64_t leaf_max(const struct vm *vm)
{
	const uint64_t pmd = UINT64_C(1) << 21;
	int sizes = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES);
	uint64_t max = pmd;

	for (unsigned int lg2 = 22; sizes > 0 && lg2 < 31; lg2++) {
		uint64_t size = UINT64_C(1) << lg2;

		if ((uint64_t)sizes & size && size <= vm->config.memory) {
			max = size;
		}
	}
	return max;
}

/* RAM of our own, as the configuration describes it. */
static int make_ram(const struct vm *vm, struct ram *ram)
{
	int file = -1, err;

	if (vm->config.backing == RAM_FILE) {
		file = open(vm->config.backing_path, O_RDWR | O_CLOEXEC);
		if (file < 0) {
			return os_error("open the backing file");
		}
	}
	err = ram_init(ram, arch_ram_base, vm->config.memory, vm->config.backing, leaf_max(vm),
		       file);
	if (file >= 0) {
		close(file);
	}
	if (!err && vm->config.populate && !protect_ops(vm->config.protect)->own_pages) {
		err = ram_populate(ram);
		if (err) {
			ram_fini(ram);
		}
	}
	if (err) {
		log_error("cannot get the guest's memory: %s: use less --memory", strerror(-err));
	}
	return err ? EXIT_CODE_OS : 0;
}

static int create_memory(struct vm *vm)
{
	const struct protect_ops *ops = protect_ops(vm->config.protect);
	struct ram ram;

	if (vm->config.ram) {
		ram = *vm->config.ram;
	} else {
		int code = make_ram(vm, &ram);

		if (code) {
			return code;
		}
	}
	if (memory_init(&vm->memory, ops, &ram, !vm->config.ram)) {
		if (!vm->config.ram) {
			ram_fini(&ram);
		}
		errno = ENOMEM;
		return os_error("track the guest's memory");
	}
	vm->have_memory = true;
	guard_watch(ram_hva(&ram, ram.gpa), ram.len);
	return ops->create(vm);
}

static void serial_irq(void *cookie, bool level)
{
	arch_serial_irq(cookie, level);
}

static void control_exit(void *cookie, uint64_t code)
{
	vm_stop(cookie, (int)(code & 0xff));
}

static int create_devices(struct vm *vm)
{
	serial_init(&vm->serial, vm->config.console_out, vm->stop_event, serial_irq, vm);
	vm->control = (struct control){.memory = &vm->memory,
				       .exit = control_exit,
				       .cookie = vm,
				       .inject_errors = vm->config.inject_errors};
	if (serial_attach(&vm->serial, &vm->bus, arch_serial_base) ||
	    control_attach(&vm->control, &vm->bus, arch_control_base)) {
		log_error("the devices overlap: please report this bug");
		return EXIT_CODE_INTERNAL;
	}
	return 0;
}

static int create_vcpus(struct vm *vm)
{
	int size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < (int)sizeof(struct kvm_run)) {
		return os_error("ask KVM for the size of a vCPU");
	}
	for (unsigned int i = 0; i < vm->config.cpu_count; i++) {
		struct vcpu *vcpu = &vm->vcpu[i];
		int code;

		*vcpu = (struct vcpu){.vm = vm, .index = i, .run_size = (size_t)size};
		vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, i);
		if (vcpu->fd < 0) {
			return os_error("create a vCPU");
		}
		vm->vcpu_count++;
		vcpu->run =
			mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
		if (vcpu->run == MAP_FAILED) {
			vcpu->run = NULL;
			return os_error("map a vCPU");
		}
		code = arch_vcpu_init(vcpu);
		if (code) {
			return code;
		}
	}
	return 0;
}

static int create_vm(struct vm *vm)
{
	const struct protect_ops *ops = protect_ops(vm->config.protect);
	unsigned long type;
	int code = preflight_kvm(vm);

	if (!code) {
		code = preflight_capability(vm, KVM_CAP_IMMEDIATE_EXIT, "immediate_exit");
	}
	if (!code) {
		code = arch_vm_type(vm, &type);
	}
	if (code) {
		return code;
	}
	vm->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->stop_event < 0) {
		return os_error("create an eventfd");
	}
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, ops->vm_type ? ops->vm_type : type);
	return vm->fd < 0 ? arch_vm_refused(vm, errno) : 0;
}

int vm_create(struct vm *vm, const struct vm_config *config)
{
	int code;

	*vm = (struct vm){.config = *config, .kvm = -1, .fd = -1, .irqchip = -1, .stop_event = -1};
	pthread_mutex_init(&vm->stop_lock, NULL);
	code = preflight_memory(vm);
	if (!code) {
		code = preflight_files(vm);
	}
	if (!code) {
		code = preflight_protect(vm);
	}
	if (!code && vm->config.inject_errors) {
		code = preflight_inject();
	}
	if (!code) {
		code = create_vm(vm);
	}
	if (!code) {
		code = create_memory(vm);
	}
	if (!code) {
		code = create_devices(vm);
	}
	if (!code) {
		code = arch_irqchip_create(vm);
	}
	if (!code) {
		code = create_vcpus(vm);
	}
	if (!code) {
		code = arch_irqchip_ready(vm);
	}
	if (code) {
		vm_destroy(vm);
	}
	return code;
}

int vm_load(struct vm *vm)
{
	int code = arch_load(vm);

	return code ? code : arch_vcpu_boot(&vm->vcpu[0]);
}

int vm_start(struct vm *vm)
{
	const struct protect_ops *ops = vm->memory.protect_ops;
	enum s2_err err = memory_start(&vm->memory);

	if (err) {
		log_error("cannot hand the memory to the guest: %s", s2_strerror(err));
		return EXIT_CODE_INTERNAL;
	}
	return ops->start ? ops->start(vm) : 0;
}

/*
 * Out of the guest, and not in again: immediate_exit catches a vCPU that is just about to enter (Linux,
 * Documentation/virt/kvm/api.rst, "immediate_exit").
 */
static void kick_vcpus(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		vm->vcpu[i].run->immediate_exit = 1;
		if (vm->vcpu[i].threaded) {
			pthread_kill(vm->vcpu[i].thread, SIGUSR1);
		}
	}
}

void vm_stop(struct vm *vm, int exit_code)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&vm->stop_lock);
	if (!vm->stopping) {
		vm->stopping = true;
		vm->exit_code = exit_code;
		/* An eventfd that is at its maximum is readable, which is all that we want. */
		if (write(vm->stop_event, &one, sizeof(one)) != sizeof(one)) {
			log_note("cannot signal the stop: %s", strerror(errno));
		}
		kick_vcpus(vm);
	}
	pthread_mutex_unlock(&vm->stop_lock);
}

bool vm_stopped(struct vm *vm)
{
	bool stopping;

	pthread_mutex_lock(&vm->stop_lock);
	stopping = vm->stopping;
	pthread_mutex_unlock(&vm->stop_lock);
	return stopping;
}

void vm_take_errors(struct vm *vm)
{
	struct guard_error error;

	while (guard_error_take(&error)) {
		poison_take(&vm->memory, &error);
	}
}

void vm_destroy(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		if (vm->vcpu[i].run) {
			munmap(vm->vcpu[i].run, vm->vcpu[i].run_size);
		}
		close(vm->vcpu[i].fd);
	}
	if (vm->irqchip >= 0) {
		close(vm->irqchip);
	}
	/* KVM lets go of the memory before it is unmapped. */
	if (vm->fd >= 0) {
		close(vm->fd);
	}
	if (vm->bus.device_count) {
		serial_fini(&vm->serial);
	}
	if (vm->have_memory) {
		guard_watch(NULL, 0);
		memory_fini(&vm->memory);
	}
	if (vm->stop_event >= 0) {
		close(vm->stop_event);
	}
	if (vm->kvm >= 0) {
		close(vm->kvm);
	}
	pthread_mutex_destroy(&vm->stop_lock);
	vm->fd = vm->kvm = -1;
}

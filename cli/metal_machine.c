/* SPDX-License-Identifier: BSD-2-Clause */
/* What QEMU is asked to be, and where each machine looks for its arguments. */
#include <elf.h>

#include "metal.h"

const struct metal_machine metal_machines[] = {
	{
		.name = "arm64",
		.about = "EL2, stage 2 of the Armv8-A VMSA",
		.qemu = "qemu-system-aarch64",
		.package = "qemu-system-arm",
		.options = {"-M", "virt,virtualization=on,gic-version=3", "-cpu", "max",
			    "-semihosting-config", "enable=on,target=native"},
		.arguments = 0x40100000,
		.exit = METAL_EXIT_STATUS,
		.elf_machine = EM_AARCH64,
	},
	{
		.name = "riscv64",
		.about = "HS mode under OpenSBI, the H extension's G-stage",
		.qemu = "qemu-system-riscv64",
		.package = "qemu-system-misc",
		.options = {"-M", "virt", "-cpu",
			    "rv64,h=true,sstc=true,svinval=true,svnapot=true,svpbmt=true", "-bios",
			    "default"},
		.firmware_end = "Boot HART MEDELEG",
		.arguments = 0x80100000,
		.exit = METAL_EXIT_STATUS,
		.elf_machine = EM_RISCV,
	},
	{
		.name = "x86_64",
		.about = "SVM with nested paging",
		.qemu = "qemu-system-x86_64",
		.package = "qemu-system-x86",
		.options = {"-M", "q35", "-cpu", "max", "-device",
			    "isa-debug-exit,iobase=0xf4,iosize=0x04"},
		.arguments = 0x01000000,
		.exit = METAL_EXIT_DEBUG_PORT,
		.elf_machine = EM_X86_64,
	},
	{
		.name = "s390x",
		.about = "DAT, on the tables that SIE would use",
		.qemu = "qemu-system-s390x",
		.package = "qemu-system-misc",
		.options = {"-M", "s390-ccw-virtio", "-cpu", "max"},
		.arguments = 0x00008000,
		.exit = METAL_EXIT_DISABLED_WAIT,
		.elf_machine = EM_S390,
		.big_endian = true,
	},
	{.name = NULL},
};

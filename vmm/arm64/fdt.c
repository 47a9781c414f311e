/* SPDX-License-Identifier: BSD-2-Clause */
/* The device tree (Devicetree Specification; bindings of Linux, Documentation/devicetree/bindings). */
#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "layout.h"

#define PHANDLE_GIC 1

/* Interrupt specifiers of arm,gic-v3: kind, number, flags. */
#define GIC_SPI 0
#define GIC_PPI 1
#define IRQ_LEVEL_HIGH 4

/* The first error sticks, so that the tree can be written without a test at every line. */
struct tree {
	void *fdt;
	int err;
};

static void begin(struct tree *tree, const char *name)
{
	tree->err = tree->err ? tree->err : fdt_begin_node(tree->fdt, name);
}

static void end(struct tree *tree)
{
	tree->err = tree->err ? tree->err : fdt_end_node(tree->fdt);
}

static void prop(struct tree *tree, const char *name, const void *value, size_t len)
{
	tree->err = tree->err ? tree->err : fdt_property(tree->fdt, name, value, (int)len);
}

static void text(struct tree *tree, const char *name, const char *value)
{
	prop(tree, name, value, strlen(value) + 1);
}

static void cells(struct tree *tree, const char *name, const uint32_t *value, size_t count)
{
	fdt32_t cell[16];

	for (size_t i = 0; i < count; i++) {
		cell[i] = cpu_to_fdt32(value[i]);
	}
	prop(tree, name, cell, count * sizeof(*cell));
}

static void cell(struct tree *tree, const char *name, uint32_t value)
{
	cells(tree, name, &value, 1);
}

/* Pairs of address and size, two cells each. */
static void regs(struct tree *tree, const char *name, const uint64_t *value, size_t count)
{
	fdt64_t reg[8];

	for (size_t i = 0; i < count; i++) {
		reg[i] = cpu_to_fdt64(value[i]);
	}
	prop(tree, name, reg, count * sizeof(*reg));
}

#define CELLS(tree, name, ...)                             \
	cells(tree, name, (const uint32_t[]){__VA_ARGS__}, \
	      sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
#define REGS(tree, name, ...)                             \
	regs(tree, name, (const uint64_t[]){__VA_ARGS__}, \
	     sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void chosen(struct tree *tree, const struct vm *vm)
{
	const struct vm_image *image = &vm->image;
	uint8_t seed[64];
	char path[64];

	begin(tree, "chosen");
	text(tree, "bootargs", vm->config.append ? vm->config.append : "");
	snprintf(path, sizeof(path), "/serial@%llx", (unsigned long long)SERIAL_BASE);
	text(tree, "stdout-path", path);
	if (image->initrd_len) {
		REGS(tree, "linux,initrd-start", image->initrd.val);
		REGS(tree, "linux,initrd-end", image->initrd.val + image->initrd_len);
	}
	if (getrandom(seed, sizeof(seed), GRND_NONBLOCK) == (ssize_t)sizeof(seed)) {
		prop(tree, "rng-seed", seed, sizeof(seed));
	}
	end(tree);
}

static void memory_node(struct tree *tree, const struct vm *vm)
{
	begin(tree, "memory@80000000");
	text(tree, "device_type", "memory");
	REGS(tree, "reg", RAM_BASE, vm->config.memory);
	end(tree);
}

static void cpus(struct tree *tree, const struct vm *vm)
{
	begin(tree, "cpus");
	cell(tree, "#address-cells", 1);
	cell(tree, "#size-cells", 0);
	for (unsigned int i = 0; i < vm->config.cpu_count; i++) {
		char name[16];

		snprintf(name, sizeof(name), "cpu@%x", i);
		begin(tree, name);
		text(tree, "device_type", "cpu");
		text(tree, "compatible", "arm,armv8");
		text(tree, "enable-method", "psci");
		cell(tree, "reg", i); /* MPIDR of KVM's vCPU i, i below 16 */
		end(tree);
	}
	end(tree);
	begin(tree, "psci");
	prop(tree, "compatible", "arm,psci-1.0\0arm,psci-0.2",
	     sizeof("arm,psci-1.0\0arm,psci-0.2"));
	text(tree, "method", "hvc");
	end(tree);
}

static void gic(struct tree *tree, const struct vm *vm)
{
	begin(tree, "interrupt-controller@8000000");
	text(tree, "compatible", "arm,gic-v3");
	cell(tree, "#interrupt-cells", 3);
	prop(tree, "interrupt-controller", "", 0);
	REGS(tree, "reg", GIC_DIST_BASE, GIC_DIST_SIZE, GIC_REDIST_BASE,
	     GIC_REDIST_SIZE * vm->config.cpu_count);
	cell(tree, "phandle", PHANDLE_GIC);
	end(tree);
	begin(tree, "timer");
	text(tree, "compatible", "arm,armv8-timer");
	prop(tree, "always-on", "", 0);
	CELLS(tree, "interrupts", GIC_PPI, 13, IRQ_LEVEL_HIGH, GIC_PPI, 14, IRQ_LEVEL_HIGH, GIC_PPI,
	      11, IRQ_LEVEL_HIGH, GIC_PPI, 10, IRQ_LEVEL_HIGH);
	end(tree);
}

static void devices(struct tree *tree)
{
	begin(tree, "serial@9000000");
	text(tree, "compatible", "ns16550a");
	REGS(tree, "reg", SERIAL_BASE, SERIAL_SIZE);
	cell(tree, "clock-frequency", 1843200);
	CELLS(tree, "interrupts", GIC_SPI, SERIAL_SPI, IRQ_LEVEL_HIGH);
	end(tree);
	begin(tree, "control@9010000");
	text(tree, "compatible", "stage2,control");
	REGS(tree, "reg", CONTROL_BASE, UINT64_C(0x1000));
	end(tree);
}

int fdt_build(const struct vm *vm, void *buffer, size_t size)
{
	struct tree tree = {.fdt = buffer};

	tree.err = fdt_create(buffer, (int)size);
	tree.err = tree.err ? tree.err : fdt_finish_reservemap(buffer);
	begin(&tree, "");
	text(&tree, "compatible", "linux,dummy-virt");
	text(&tree, "model", "stage2");
	cell(&tree, "#address-cells", 2);
	cell(&tree, "#size-cells", 2);
	cell(&tree, "interrupt-parent", PHANDLE_GIC);
	chosen(&tree, vm);
	memory_node(&tree, vm);
	cpus(&tree, vm);
	gic(&tree, vm);
	devices(&tree);
	end(&tree);
	tree.err = tree.err ? tree.err : fdt_finish(buffer);
	if (tree.err == -FDT_ERR_NOSPACE) {
		log_error("--append is too long: the device tree has room for about 60 KiB");
		return EXIT_CODE_USAGE;
	}
	if (tree.err) {
		log_error("cannot build the device tree: %s", fdt_strerror(tree.err));
		return EXIT_CODE_INTERNAL;
	}
	return 0;
}

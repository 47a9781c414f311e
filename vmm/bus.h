/* SPDX-License-Identifier: BSD-2-Clause */
/* The MMIO bus: which device answers at which guest-physical address. */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <stage2/types.h>

/*
 * A device. offset is inside the device, size is 1, 2, 4 or 8 bytes and the access never leaves the
 * device. The functions may be called by several vCPU threads at once.
 */
struct bus_device {
	const char *name;
	struct s2_range range;
	uint64_t (*read)(void *cookie, uint64_t offset, unsigned int size);
	void (*write)(void *cookie, uint64_t offset, unsigned int size, uint64_t value);
	void *cookie;
};

#define BUS_DEVICE_MAX 8

struct bus {
	struct bus_device device[BUS_DEVICE_MAX];
	unsigned int device_count;
};

/*
 * Adds a device; before the vCPUs run. Returns 0, -EEXIST if it overlaps another (*other is that one's
 * name), -ENOSPC if the bus is full.
 */
int bus_add(struct bus *bus, const struct bus_device *device, const char **other);

/*
 * Carries out an access; data is in the guest's byte order (little-endian), len bytes. What no device
 * answers reads as all ones and swallows writes, as on a bus without a device; returns false then.
 */
bool bus_access(const struct bus *bus, s2_gpa_t gpa, uint8_t *data, unsigned int len,
		bool is_write);

#endif

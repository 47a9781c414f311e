/* SPDX-License-Identifier: BSD-2-Clause */
#include "bus.h"

#include <errno.h>
#include <string.h>

int bus_add(struct bus *bus, const struct bus_device *device, const char **other)
{
	for (unsigned int i = 0; i < bus->device_count; i++) {
		const struct s2_range *range = &bus->device[i].range;

		if (device->range.start.val <= s2_range_last(*range).val &&
		    range->start.val <= s2_range_last(device->range).val) {
			*other = bus->device[i].name;
			return -EEXIST;
		}
	}
	if (bus->device_count == BUS_DEVICE_MAX) {
		return -ENOSPC;
	}
	bus->device[bus->device_count++] = *device;
	return 0;
}

static const struct bus_device *find(const struct bus *bus, s2_gpa_t gpa, unsigned int len)
{
	for (unsigned int i = 0; i < bus->device_count; i++) {
		uint64_t offset = gpa.val - bus->device[i].range.start.val;

		if (gpa.val >= bus->device[i].range.start.val &&
		    offset < bus->device[i].range.len && len <= bus->device[i].range.len - offset) {
			return &bus->device[i];
		}
	}
	return NULL;
}

bool bus_access(const struct bus *bus, s2_gpa_t gpa, uint8_t *data, unsigned int len, bool is_write)
{
	const struct bus_device *device = find(bus, gpa, len);
	uint64_t offset, value = 0;

	if (!device) {
		if (!is_write) {
			memset(data, 0xff, len);
		}
		return false;
	}
	offset = gpa.val - device->range.start.val;
	if (is_write) {
		for (unsigned int i = 0; i < len; i++) {
			value |= (uint64_t)data[i] << (8 * i);
		}
		device->write(device->cookie, offset, len, value);
	} else {
		value = device->read(device->cookie, offset, len);
		for (unsigned int i = 0; i < len; i++) {
			data[i] = (uint8_t)(value >> (8 * i));
		}
	}
	return true;
}

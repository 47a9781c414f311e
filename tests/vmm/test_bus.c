/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "bus.h"
#include "check_main.h"

/* A device that remembers its last access and answers with what it is told. */
struct probe {
	unsigned int reads, writes;
	uint64_t offset;
	unsigned int size;
	uint64_t value;
};

static uint64_t probe_read(void *cookie, uint64_t offset, unsigned int size)
{
	struct probe *probe = cookie;

	probe->reads++;
	probe->offset = offset;
	probe->size = size;
	return probe->value;
}

static void probe_write(void *cookie, uint64_t offset, unsigned int size, uint64_t value)
{
	struct probe *probe = cookie;

	probe->writes++;
	probe->offset = offset;
	probe->size = size;
	probe->value = value;
}

static int add(struct bus *bus, const char *name, uint64_t start, uint64_t len, struct probe *probe,
	       const char **other)
{
	const struct bus_device device = {.name = name,
					  .range = s2_range(s2_gpa(start), len),
					  .read = probe_read,
					  .write = probe_write,
					  .cookie = probe};

	return bus_add(bus, &device, other);
}

START_TEST(overlap)
{
	static const struct {
		uint64_t start, len;
		const char *other; /* NULL: no overlap */
	} cases[] = {
		{0x1000, 0x1000, "low"},     {0x0fff, 2, "low"},   {0x1fff, 1, "low"},
		{0x1800, 8, "low"},	     {0, 0x10000, "low"},  {0x0fff, 1, NULL},
		{0x2000, 0x1000, NULL},	     {0x2fff, 2, "high"},  {0x3fff, 0x1000, "high"},
		{UINT64_MAX, 1, "top"},	     {0x4000, 0x10, NULL}, {UINT64_MAX - 16, 1, NULL},
		{UINT64_MAX - 16, 2, "top"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct probe probe = {0};
		struct bus bus = {0};
		const char *other = NULL;
		int err;

		ck_assert_int_eq(add(&bus, "low", 0x1000, 0x1000, &probe, &other), 0);
		ck_assert_int_eq(add(&bus, "high", 0x3000, 0x1000, &probe, &other), 0);
		ck_assert_int_eq(add(&bus, "top", UINT64_MAX - 15, 16, &probe, &other), 0);
		err = add(&bus, "new", cases[i].start, cases[i].len, &probe, &other);
		ck_assert_msg(err == (cases[i].other ? -EEXIST : 0), "case %zu: %d", i, err);
		ck_assert_uint_eq(bus.device_count, cases[i].other ? 3 : 4);
		if (cases[i].other) {
			ck_assert_str_eq(other, cases[i].other);
		}
	}
}
END_TEST

START_TEST(full)
{
	struct probe probe = {0};
	struct bus bus = {0};
	const char *other = NULL;

	for (uint64_t i = 0; i < BUS_DEVICE_MAX; i++) {
		ck_assert_int_eq(add(&bus, "one", i * 16, 16, &probe, &other), 0);
	}
	ck_assert_int_eq(add(&bus, "late", 0x10000, 16, &probe, &other), -ENOSPC);
	/* An overlap is the better answer even then. */
	ck_assert_int_eq(add(&bus, "late", 0, 16, &probe, &other), -EEXIST);
	ck_assert_uint_eq(bus.device_count, BUS_DEVICE_MAX);
}
END_TEST

START_TEST(edges)
{
	static const struct {
		uint64_t gpa;
		unsigned int len;
		bool claimed;
	} cases[] = {
		{0x1000, 1, true},
		{0x1000, 8, true},
		{0x10ff, 1, true},
		{0x10f8, 8, true},
		{0x10fe, 2, true},
		{0x10f9, 8, false},
		{0x10ff, 2, false},
		{0x10fd, 4, false},
		{0x0fff, 1, false},
		{0x0fff, 2, false},
		{0x0ff8, 8, false},
		{0x1100, 1, false},
		{0, 4, false},
		{UINT64_MAX, 1, true},
		{UINT64_MAX, 2, false},
		{UINT64_MAX - 7, 8, true},
		{UINT64_MAX - 8, 1, false},
	};
	struct probe low = {0}, top = {0};
	struct bus bus = {0};
	const char *other;

	ck_assert_int_eq(add(&bus, "low", 0x1000, 0x100, &low, &other), 0);
	ck_assert_int_eq(add(&bus, "top", UINT64_MAX - 7, 8, &top, &other), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const unsigned int before = low.reads + low.writes + top.reads + top.writes;
		uint8_t data[8] = {0};

		for (int write = 0; write < 2; write++) {
			ck_assert_msg(bus_access(&bus, s2_gpa(cases[i].gpa), data, cases[i].len,
						 write) == cases[i].claimed,
				      "case %zu", i);
		}
		ck_assert_uint_eq(low.reads + low.writes + top.reads + top.writes - before,
				  cases[i].claimed ? 2 : 0);
	}
}
END_TEST

/* Neighbours without a gap: an access belongs to one device whole, or to none. */
START_TEST(neighbours)
{
	struct probe a = {.value = 0xaa}, b = {.value = 0xbb};
	struct bus bus = {0};
	const char *other;
	uint8_t data[8] = {0};

	ck_assert_int_eq(add(&bus, "b", 0x1010, 0x10, &b, &other), 0);
	ck_assert_int_eq(add(&bus, "a", 0x1000, 0x10, &a, &other), 0);
	ck_assert(bus_access(&bus, s2_gpa(0x100f), data, 1, false));
	ck_assert_uint_eq(data[0], 0xaa);
	ck_assert_uint_eq(a.offset, 0xf);
	ck_assert(bus_access(&bus, s2_gpa(0x1010), data, 1, false));
	ck_assert_uint_eq(data[0], 0xbb);
	ck_assert_uint_eq(b.offset, 0);
	ck_assert(!bus_access(&bus, s2_gpa(0x100e), data, 4, false));
	ck_assert_uint_eq(a.reads + b.reads, 2);
}
END_TEST

START_TEST(unclaimed)
{
	static const unsigned int sizes[] = {1, 2, 4, 8};
	const struct bus bus = {0};

	for (size_t i = 0; i < 4; i++) {
		uint8_t data[9], saved[9];

		memset(data, 0x5a, sizeof(data));
		ck_assert(!bus_access(&bus, s2_gpa(0x1000), data, sizes[i], false));
		for (unsigned int k = 0; k < sizeof(data); k++) {
			ck_assert_uint_eq(data[k], k < sizes[i] ? 0xff : 0x5a);
		}
		memcpy(saved, data, sizeof(saved));
		ck_assert(!bus_access(&bus, s2_gpa(0x1000), data, sizes[i], true));
		ck_assert_mem_eq(data, saved, sizeof(saved));
	}
}
END_TEST

START_TEST(byte_order)
{
	static const struct {
		unsigned int size;
		uint64_t value;
	} cases[] = {{1, 0x11}, {2, 0x2211}, {4, 0x44332211}, {8, UINT64_C(0x8877665544332211)}};
	static const uint8_t bytes[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
	struct probe probe = {0};
	struct bus bus = {0};
	const char *other;

	ck_assert_int_eq(add(&bus, "probe", 0x1000, 0x100, &probe, &other), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t data[9];

		memset(data, 0xee, sizeof(data));
		memcpy(data, bytes, cases[i].size);
		ck_assert(bus_access(&bus, s2_gpa(0x1040), data, cases[i].size, true));
		ck_assert_uint_eq(probe.value, cases[i].value);
		ck_assert_uint_eq(probe.size, cases[i].size);
		ck_assert_uint_eq(probe.offset, 0x40);

		/* What a device answers beyond the size is cut off. */
		probe.value = UINT64_C(0x8877665544332211);
		memset(data, 0xee, sizeof(data));
		ck_assert(bus_access(&bus, s2_gpa(0x1048), data, cases[i].size, false));
		ck_assert_mem_eq(data, bytes, cases[i].size);
		ck_assert_uint_eq(data[cases[i].size], 0xee);
		ck_assert_uint_eq(probe.size, cases[i].size);
		ck_assert_uint_eq(probe.offset, 0x48);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bus");
	TCase *tcase = tcase_create("bus");

	tcase_add_test(tcase, overlap);
	tcase_add_test(tcase, full);
	tcase_add_test(tcase, edges);
	tcase_add_test(tcase, neighbours);
	tcase_add_test(tcase, unclaimed);
	tcase_add_test(tcase, byte_order);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

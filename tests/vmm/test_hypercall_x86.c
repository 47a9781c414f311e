/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_HC_MAP_GPA_RANGE: what a guest may ask for, what it is told, and that nothing changes when it may not. */
#include "arch.h"
#include "check_main.h"
#include "fake_kvm.h"
#include "guard.h"

#define PAGE S2_PAGE_SIZE
#define EINVAL_RET ((uint64_t)-22)
#define ENOSYS_RET ((uint64_t)-1000)
#define PRIVATE UINT64_C(0x10)

static struct vm vm;
static struct kvm_run run;
static struct vcpu vcpu = {.vm = &vm, .run = &run};

static void setup(void)
{
	ck_assert_int_eq(guard_init(), 0);
	fake_create(&vm, RAM_ANON);
	ck_assert_int_eq(memory_start(&vm.memory), S2_OK);
	ck_assert_int_eq(protect_sw.start(&vm), 0);
}

static void teardown(void)
{
	fake_destroy(&vm);
}

static uint64_t call(uint64_t number, uint64_t gpa, uint64_t count, uint64_t attributes)
{
	run.exit_reason = KVM_EXIT_HYPERCALL;
	run.hypercall.nr = number;
	run.hypercall.args[0] = gpa;
	run.hypercall.args[1] = count;
	run.hypercall.args[2] = attributes;
	run.hypercall.ret = 12345;
	ck_assert(arch_exit(&vcpu));
	return run.hypercall.ret;
}

static uint64_t shared_pages(void)
{
	struct s2_track_sum sum;

	ck_assert_int_eq(s2_track_sum(&vm.memory.track, vm.memory.track.range, &sum), S2_OK);
	ck_assert_uint_eq(sum.moving, 0);
	for (uint64_t i = 0; i < FAKE_PAGES; i++) {
		ck_assert(fake.is_private[i] !=
			  (memory_page(&vm.memory, s2_gpa(i * PAGE)).state == S2_SHARED));
	}
	return sum.state[S2_SHARED];
}

START_TEST(asks)
{
	ck_assert_uint_eq(call(12, 8 * PAGE, 4, 0), 0);
	ck_assert_uint_eq(shared_pages(), 4);
	/* What is so already is no error; what is not becomes so. */
	ck_assert_uint_eq(call(12, 8 * PAGE, 4, 0), 0);
	ck_assert_uint_eq(call(12, 6 * PAGE, 4, 0), 0);
	ck_assert_uint_eq(shared_pages(), 6);
	ck_assert_uint_eq(call(12, 7 * PAGE, 2, PRIVATE), 0);
	ck_assert_uint_eq(shared_pages(), 4);
	ck_assert_uint_eq(call(12, 0, FAKE_PAGES, PRIVATE), 0);
	ck_assert_uint_eq(shared_pages(), 0);
	ck_assert_uint_eq(call(12, 0, FAKE_PAGES, PRIVATE), 0);
	ck_assert_uint_eq(call(12, 0, FAKE_PAGES, 0), 0);
	ck_assert_uint_eq(shared_pages(), FAKE_PAGES);
}
END_TEST

START_TEST(refused)
{
	static const struct {
		uint64_t gpa, count, attributes;
	} bad[] = {
		{8 * PAGE + 1, 1, 0},			/* not of a page */
		{8 * PAGE, 0, 0},			/* nothing */
		{(FAKE_PAGES - 1) * PAGE, 2, 0},	/* partly outside */
		{FAKE_PAGES * PAGE, 1, 0},		/* outside */
		{0, FAKE_PAGES + 1, PRIVATE},		/* more than there is */
		{8 * PAGE, UINT64_MAX, 0},		/* bytes wrap */
		{8 * PAGE, UINT64_C(1) << 52, 0},	/* bytes wrap to none */
		{8 * PAGE, (UINT64_C(1) << 52) + 1, 0}, /* and to a page */
		{0 - PAGE, 2, 0},			/* addresses wrap */
		{0 - PAGE, 1, 0},			/* the last page of all */
		{UINT64_C(0xd0000000), 1, 0},		/* a device */
		{8 * PAGE, 1, 0x20},			/* attributes that are reserved */
		{8 * PAGE, 1, UINT64_C(1) << 63},
		{8 * PAGE, 1, 3}, /* sizes that there are not */
		{8 * PAGE, 1, 0xf},
		{8 * PAGE, 1, 1}, /* no whole pages of 2 MiB, of 1 GiB */
		{0, 1, 1},
		{8 * PAGE, 512, 1},
		{0, 1, 2 | PRIVATE},
	};
	const uint64_t attributes = fake.attributes;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_msg(call(12, bad[i].gpa, bad[i].count, bad[i].attributes) == EINVAL_RET,
			      "case %zu", i);
	}
	ck_assert_uint_eq(call(11, 8 * PAGE, 1, 0), ENOSYS_RET);
	ck_assert_uint_eq(shared_pages(), 0);
	ck_assert_uint_eq(fake.attributes, attributes);
}
END_TEST

/* The kernel refuses: the guest hears of it, and has what it had. */
START_TEST(kernel_refuses)
{
	fake_guest_write(&vm, 8, 1);
	fake_arm(2, 2);
	ck_assert_uint_eq(call(12, 8 * PAGE, 1, 0), EINVAL_RET);
	fake_arm(0, 0);
	ck_assert_uint_eq(shared_pages(), 0);
	ck_assert_uint_eq(fake_guest_read(&vm, 8), 1);
	ck_assert_uint_eq(call(12, 8 * PAGE, 1, 0), 0);
	ck_assert_uint_eq(shared_pages(), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hypercall_x86");
	TCase *tcase = tcase_create("hypercall_x86");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, asks);
	tcase_add_test(tcase, refused);
	tcase_add_test(tcase, kernel_refuses);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}

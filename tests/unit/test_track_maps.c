/* SPDX-License-Identifier: BSD-2-Clause */
/* Maps of mixed chunks: when they come and go, and when there is no memory for one. */
#include "track.h"

START_TEST(maps_come_and_go)
{
	move(BASE, COUNT, S2_DONATE, false);
	ck_assert_uint_eq(t.map_count, 0);
	move(BASE + 1, COUNT - 2, S2_SHARE, false);
	ck_assert_uint_eq(t.map_count, 2); /* the ends; nothing in between */
	move(BASE, 1, S2_SHARE, false);
	ck_assert_uint_eq(t.map_count, 1);
	move(BASE + COUNT - 1, 1, S2_SHARE, false);
	ck_assert_uint_eq(t.map_count, 0);
	ck_assert_uint_eq(env.live, 1);
	for (uint64_t i = 0; i < CHUNK; i++) {
		move(C1 + i, 1, S2_UNSHARE, false);
		ck_assert_uint_eq(t.map_count, i + 1 < CHUNK);
	}
}
END_TEST

/* Two moves that together fill a chunk: neither may need memory to be finished. */
START_TEST(finishing_needs_no_memory)
{
	move(BASE, COUNT, S2_DONATE, false);
	begin(C1 + 10, CHUNK - 10, S2_SHARE, false);
	begin(C1, 10, S2_SHARE, false);
	begin(C1 + CHUNK, CHUNK, S2_SHARE, false);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_track_done(&t, pages(C1, 10)), S2_OK);
	ck_assert_int_eq(s2_track_undo(&t, pages(C1 + 10, CHUNK - 10)), S2_OK);
	ck_assert_int_eq(s2_track_done(&t, pages(C1 + CHUNK, 1)), S2_ERR_NOMEM);
	ck_assert_int_eq(s2_track_done(&t, pages(C1 + CHUNK, CHUNK)), S2_OK);
	test_env_fail(&env, 0);
	expect(C1 + 9, S2_SHARED, false, false);
	expect(C1 + 10, S2_SECURE, false, false);
}
END_TEST

/* The same if the page that fills the chunk comes alone. */
START_TEST(finishing_one_page_needs_no_memory)
{
	move(BASE, COUNT, S2_DONATE, false);
	begin(C1, 10, S2_SHARE, false);
	begin(C1 + 11, CHUNK - 11, S2_SHARE, false);
	begin(C1 + 10, 1, S2_SHARE, false);
	ck_assert_uint_eq(t.map_count, 1);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_track_undo(&t, pages(C1 + 10, 1)), S2_OK);
	ck_assert_int_eq(s2_track_done(&t, pages(C1, 10)), S2_OK);
	test_env_fail(&env, 0);
	expect(C1 + 9, S2_SHARED, false, false);
	expect(C1 + 10, S2_SECURE, false, false);
	expect(C1 + 11, S2_SECURE, true, false);
}
END_TEST

/* No allocation that fails may leave a trace; two are needed where both ends are inside chunks. */
START_TEST(no_memory)
{
	struct s2_range range = pages(C1 + 7, CHUNK + 9);
	enum s2_err err = S2_ERR_NOMEM;
	struct picture before;
	size_t n;

	move(BASE, COUNT, S2_DONATE, false);
	if (_i == 1 || _i == 2 || _i == 5) {
		begin(C1, 2 * CHUNK, S2_SHARE, false);
	} else if (_i != 0) {
		move(C1, 2 * CHUNK, S2_SHARE, _i == 4);
	}
	before = picture_take(&t);
	for (n = 1; err == S2_ERR_NOMEM; n++) {
		test_env_fail(&env, n);
		switch (_i) {
		case 0:
			err = s2_track_begin(&t, range, S2_SHARE, true);
			break;
		case 1:
			err = s2_track_done(&t, range);
			break;
		case 2:
			err = s2_track_undo(&t, range);
			break;
		case 3:
			err = s2_track_release(&t, range);
			break;
		case 4:
			err = s2_track_claim(&t, range);
			break;
		default:
			err = s2_track_poison(&t, range);
			break;
		}
		test_env_fail(&env, 0);
		if (err == S2_ERR_NOMEM) {
			picture_expect(&before, &t);
			ck_assert_uint_eq(env.live, 1);
		}
	}
	ck_assert_int_eq(err, S2_OK);
	ck_assert_uint_eq(n, 4); /* it failed twice */
	ck_assert_uint_eq(t.map_count, 2);
	picture_free(&before);
}
END_TEST

START_TEST(claims_of_claimed_pages_need_no_memory)
{
	move(C1, CHUNK, S2_DONATE, false);
	move(C1, CHUNK, S2_SHARE, false);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_track_claim(&t, pages(C1 + 1, 1)), S2_OK);
	test_env_fail(&env, 0);
}
END_TEST

/* s2_track_check() must be able to say no. */
START_TEST(check_finds_damage)
{
	move(C1, 3, S2_DONATE, false);
	ck_assert(s2_track_check(&t));
	t.map_count++;
	ck_assert(!s2_track_check(&t));
	t.map_count--;
	ck_assert(s2_track_check(&t));
}
END_TEST

/* A word a chunk that is alike, 256 bytes more for one that is not, and a little for each GiB. */
START_TEST(memory_is_small)
{
	struct s2_track large;
	size_t alike;

	memory = 0;
	ck_assert_int_eq(s2_track_init(&large, &env.env, pages(REGION, 4 * REGION)), S2_OK);
	alike = memory;
	ck_assert_uint_le(alike, 4 * (512 * sizeof(uintptr_t) + 72));
	ck_assert_int_eq(s2_track_move(&large, large.range, S2_DONATE, false), S2_OK);
	ck_assert_uint_eq(memory, alike);
	/* One page of each of three chunks; a second page of one of them; pages across two. */
	for (uint64_t i = 0; i < 3; i++) {
		ck_assert_int_eq(s2_track_move(&large, pages(REGION * 2 + i * CHUNK + 9, 1),
					       S2_SHARE, false),
				 S2_OK);
		ck_assert_uint_eq(memory, alike + (i + 1) * 256);
	}
	ck_assert_int_eq(s2_track_move(&large, pages(REGION * 2 + 400, 1), S2_SHARE, false), S2_OK);
	ck_assert_uint_eq(memory, alike + 3 * 256);
	ck_assert_int_eq(s2_track_move(&large, pages(REGION * 4 - 1, 2), S2_SHARE, false), S2_OK);
	ck_assert_uint_eq(memory, alike + 5 * 256);
	ck_assert_int_eq(s2_track_move(&large, large.range, S2_RECLAIM, false), S2_OK);
	ck_assert_uint_eq(memory, alike);
	ck_assert(s2_track_check(&large));
	s2_track_fini(&large);
	ck_assert_uint_eq(memory, 0);
}
END_TEST

/* Wherever the page is that differs last, the map goes with it; and not before. */
START_TEST(map_goes_with_the_last_page)
{
	size_t before = memory;

	move(BASE, COUNT, S2_DONATE, false);
	for (uint64_t i = 0; i < CHUNK; i++) {
		uint64_t other = (i * 7 + 1) % CHUNK;

		move(C1 + i, 1, S2_SHARE, false);
		move(C1 + other, 1, S2_EXPORT, false);
		ck_assert_uint_eq(memory, before + 256);
		move(C1 + i, 1, S2_UNSHARE, false);
		ck_assert_uint_eq(memory, before + 256);
		move(C1 + other, 1, S2_IMPORT, false);
		ck_assert_uint_eq(memory, before);
	}
}
END_TEST

/* A page that cannot have a map stays as it was. */
START_TEST(no_memory_for_one_page)
{
	struct picture before;

	move(BASE, COUNT, S2_DONATE, false);
	before = picture_take(&t);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_track_move(&t, pages(C1 + 9, 1), S2_SHARE, false), S2_ERR_NOMEM);
	ck_assert_int_eq(s2_track_begin(&t, pages(C1 + 9, 1), S2_SHARE, true), S2_ERR_NOMEM);
	ck_assert_int_eq(s2_track_poison(&t, pages(C1 + 9, 1)), S2_ERR_NOMEM);
	picture_expect(&before, &t);
	/* What is wrong with the page comes first, and what changes nothing needs nothing. */
	ck_assert_int_eq(s2_track_move(&t, pages(C1 + 9, 1), S2_UNSHARE, false), S2_ERR_STATE);
	ck_assert_int_eq(s2_track_move(&t, pages(C1, CHUNK), S2_SHARE, false), S2_OK);
	ck_assert_int_eq(s2_track_claim(&t, pages(C1 + 9, 1)), S2_OK);
	ck_assert_int_eq(s2_track_release(&t, pages(C1 + 9, 1)), S2_ERR_NOMEM);
	test_env_fail(&env, 0);
	ck_assert_uint_eq(t.map_count, 0);
	picture_free(&before);
}
END_TEST

/* s2_track_check() looks at all counters of a region, and at what a map is for. */
START_TEST(check_finds_damage_in_regions)
{
	uint32_t *counters = (uint32_t *)(t.chunk + t.chunk_count); /* 16 codes, maps */
	void **map = (void **)t.chunk + 1;
	unsigned char saved[256];

	move(C1 + 9, 2, S2_DONATE, false);
	for (size_t i = 0; i < 17; i++) {
		counters[i]++;
		ck_assert(!s2_track_check(&t));
		counters[i]--;
	}
	ck_assert(s2_track_check(&t));
	/* No page is another than the others, and all counters say so; but there is a map. */
	memcpy(saved, *map, sizeof(saved));
	memset(*map, 0, sizeof(saved));
	counters[S2_SECURE] -= 2;
	counters[S2_NONE] += 2;
	ck_assert(!s2_track_check(&t));
	memcpy(*map, saved, sizeof(saved));
	counters[S2_SECURE] += 2;
	counters[S2_NONE] -= 2;
}
END_TEST

void add_maps(TCase *tcase)
{
	tcase_add_test(tcase, maps_come_and_go);
	tcase_add_test(tcase, finishing_needs_no_memory);
	tcase_add_test(tcase, finishing_one_page_needs_no_memory);
	tcase_add_loop_test(tcase, no_memory, 0, 6);
	tcase_add_test(tcase, claims_of_claimed_pages_need_no_memory);
	tcase_add_test(tcase, check_finds_damage);
	tcase_add_test(tcase, memory_is_small);
	tcase_add_test(tcase, map_goes_with_the_last_page);
	tcase_add_test(tcase, no_memory_for_one_page);
	tcase_add_test(tcase, check_finds_damage_in_regions);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An environment that is stricter than a real one: its memory starts dirty, the size given to free
 * must be the size that was allocated, the n-th allocation fails on demand, and what is left is
 * counted.
 */
#ifndef TESTS_TEST_ENV_H
#define TESTS_TEST_ENV_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <stage2/env.h>

struct test_env {
	struct s2_env env;
	size_t live;	  /* allocations not yet freed */
	size_t calls;	  /* of alloc */
	size_t fail_from; /* this call of alloc fails, and all after it; 0: none */
};

struct test_env_block {
	_Alignas(max_align_t) size_t size;
};

static inline void *test_env_alloc(void *cookie, size_t size)
{
	struct test_env *env = cookie;
	struct test_env_block *block;

	env->calls++;
	if (env->fail_from != 0 && env->calls >= env->fail_from) {
		return NULL;
	}
	block = malloc(sizeof(*block) + size);
	ck_assert_ptr_nonnull(block);
	block->size = size;
	memset(block + 1, 0xa5, size);
	env->live++;
	return block + 1;
}

static inline void test_env_free(void *cookie, void *ptr, size_t size)
{
	struct test_env *env = cookie;
	struct test_env_block *block = (struct test_env_block *)ptr - 1;

	ck_assert_ptr_nonnull(ptr);
	ck_assert_uint_eq(block->size, size);
	ck_assert_uint_gt(env->live, 0);
	env->live--;
	memset(ptr, 0x5a, size);
	free(block);
}

static inline void test_env_init(struct test_env *env)
{
	memset(env, 0, sizeof(*env));
	env->env.alloc = test_env_alloc;
	env->env.free = test_env_free;
	env->env.cookie = env;
}

/* The n-th allocation from now fails, and all after it; 0 ends that. */
static inline void test_env_fail(struct test_env *env, size_t n)
{
	env->fail_from = n == 0 ? 0 : env->calls + n;
}

#endif

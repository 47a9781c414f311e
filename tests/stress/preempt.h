/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In front of the formats that the stress tests are built with: threads may lose the processor before every
 * atomic operation, as they may anyway, but so often that it is seen.
 */
#ifndef TESTS_STRESS_PREEMPT_H
#define TESTS_STRESS_PREEMPT_H

/* Gives the processor away, one time in n. In test_stress.c. */
void stress_pause(unsigned n);

#define __atomic_load_n(...) (stress_pause(1024), __atomic_load_n(__VA_ARGS__))
#define __atomic_store_n(...) (stress_pause(64), __atomic_store_n(__VA_ARGS__))
#define __atomic_exchange_n(...) (stress_pause(16), __atomic_exchange_n(__VA_ARGS__))
#define __atomic_compare_exchange_n(...) \
	(stress_pause(16), __atomic_compare_exchange_n(__VA_ARGS__))

#endif

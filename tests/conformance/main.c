/* SPDX-License-Identifier: BSD-2-Clause */
/* One suite, on every machine. S2_VARIANTS chooses: see bench.h. */
#include "bench.h"
#include "cases.h"
#include "check_main.h"

#include <stdio.h>

int main(void)
{
	static TCase *(*const cases[])(void) = {
		case_shape, case_rights,     case_map,	 case_size,  case_errors,
		case_marks, case_read,	     case_hooks, case_flush, case_deeds,
		case_small, case_walk_cache, case_beside};
	Suite *suite = suite_create("conformance");

	if (bench_formats() == 0) {
		fputs("S2_VARIANTS matches no machine\n", stderr);
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *tcase = cases[i]();

		tcase_set_timeout(tcase, 120);
		suite_add_tcase(suite, tcase);
	}
	return check_main(suite);
}

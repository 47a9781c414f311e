/* SPDX-License-Identifier: BSD-2-Clause */
/* One suite, on every machine. S2_VARIANTS chooses: see bench.h. */
#include "cases.h"
#include "check_main.h"

int main(void)
{
	static TCase *(*const cases[])(void) = {case_shape,  case_rights, case_map,  case_size,
						case_errors, case_marks,  case_read, case_hooks,
						case_flush,  case_deeds,  case_small};
	Suite *suite = suite_create("conformance");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *tcase = cases[i]();

		tcase_set_timeout(tcase, 120);
		suite_add_tcase(suite, tcase);
	}
	return check_main(suite);
}

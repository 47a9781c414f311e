/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VMM_RUN_H
#define VMM_RUN_H

/* `stage2 run ...`; argv[0] is "run". Returns the exit code of the program. */
int run_main(int argc, char **argv);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef MEASURE_MEASURE_H
#define MEASURE_MEASURE_H

/* `stage2 measure ...`; argv[0] is "measure". Returns the exit code of the program. */
int measure_main(int argc, char **argv);

#endif

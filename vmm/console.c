/* SPDX-License-Identifier: BSD-2-Clause */
#include "console.h"

#include <stdbool.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static bool changed;

void console_raw(void)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved)) {
		return;
	}
	raw = saved;
	raw.c_iflag &= ~(tcflag_t)(ICRNL | IXON);
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
	changed = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void console_restore(void)
{
	if (changed) {
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
		changed = false;
	}
}

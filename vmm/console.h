/* SPDX-License-Identifier: BSD-2-Clause */
/* The terminal that the guest's serial console is connected to. */
#ifndef VMM_CONSOLE_H
#define VMM_CONSOLE_H

/*
 * If stdin is a terminal: hands keys to the guest one by one and lets it do the echo. Ctrl-C stays
 * ours and stops the VM. console_restore() brings the terminal back; it may be called at any time,
 * also without console_raw().
 */
void console_raw(void);
void console_restore(void);

#endif

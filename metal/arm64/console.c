/* SPDX-License-Identifier: BSD-2-Clause */
/* The console: a PL011 (Arm DDI 0183), that of QEMU's machine "virt". */
#include "machine_arm64.h"

#define UART UINT64_C(0x09000000)
#define UART_DR (UART + 0x00)
#define UART_FR (UART + 0x18)
#define UART_FR_TXFF (1u << 5)
#define UART_LCR_H (UART + 0x2c)
#define UART_LCR_H_8BIT_FIFO (7u << 4)
#define UART_CR (UART + 0x30)
#define UART_CR_TX_ENABLED (1u << 8 | 1u << 0)

void console_init(void)
{
	*device(UART_LCR_H) = UART_LCR_H_8BIT_FIFO;
	*device(UART_CR) = UART_CR_TX_ENABLED;
}

void machine_putc(char c)
{
	while (*device(UART_FR) & UART_FR_TXFF) {
		machine_relax();
	}
	*device(UART_DR) = (unsigned char)c;
}

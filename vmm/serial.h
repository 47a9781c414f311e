/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The serial console: the registers of a 16550A (National Semiconductor PC16550D data sheet, table
 * "Register Addresses"), which transmits at once. Output goes to a file descriptor.
 */
#ifndef VMM_SERIAL_H
#define VMM_SERIAL_H

#include <pthread.h>

#include "bus.h"

#define SERIAL_SIZE 0x1000
#define SERIAL_INPUT_MAX 4096

struct serial {
	pthread_mutex_t lock;
	int out;       /* file descriptor */
	int stop;      /* another, readable when the VM is to end */
	int out_error; /* errno of a byte that was lost; 0 if none was, or only its reader went away */
	void (*set_irq)(void *cookie, bool level);
	void *cookie;
	bool irq;
	bool transmit_irq; /* "holding register empty" is pending */
	uint8_t ier, lcr, mcr, scr, dll, dlm, fcr;
	uint8_t input[SERIAL_INPUT_MAX]; /* ring: what the guest has not read yet */
	unsigned int head, count;
};

/*
 * out and stop are not owned. set_irq is called with the lock held, when the interrupt line changes.
 */
void serial_init(struct serial *serial, int out, int stop,
		 void (*set_irq)(void *cookie, bool level), void *cookie);
void serial_fini(struct serial *serial);

/* Puts the registers on a bus at gpa. Fails as bus_add(). */
int serial_attach(struct serial *serial, struct bus *bus, s2_gpa_t gpa);

/* Input for the guest. Returns how much was taken: less than len when the ring is full. Any thread. */
size_t serial_input(struct serial *serial, const uint8_t *data, size_t len);

/* Space in the ring. */
size_t serial_room(struct serial *serial);

/*
 * Has the guest asked to be told of input? Before that its driver clears the FIFO as it sets itself up,
 * and what was given to it is lost.
 */
bool serial_listening(struct serial *serial);

#endif

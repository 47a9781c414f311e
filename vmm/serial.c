/* SPDX-License-Identifier: BSD-2-Clause */
#include "serial.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum {		      /* register offsets */
	REG_DATA = 0, /* DLL with DLAB */
	REG_IER = 1,  /* DLM with DLAB */
	REG_IIR = 2,  /* FCR on write */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7
};

#define IER_RECEIVE 0x01
#define IER_TRANSMIT 0x02
#define IER_MASK 0x0f
#define IIR_NONE 0x01
#define IIR_TRANSMIT 0x02
#define IIR_RECEIVE 0x04
#define IIR_FIFO 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVE 0x02
#define LCR_DLAB 0x80
#define MCR_LOOP 0x10
#define LSR_READY 0x01
#define LSR_EMPTY 0x60 /* holding register and shift register */
#define MSR_LINES 0xb0 /* carrier, data set ready, clear to send */

void serial_init(struct serial *serial, int out, int stop,
		 void (*set_irq)(void *cookie, bool level), void *cookie)
{
	*serial = (struct serial){.out = out, .stop = stop, .set_irq = set_irq, .cookie = cookie};
	pthread_mutex_init(&serial->lock, NULL);
}

void serial_fini(struct serial *serial)
{
	pthread_mutex_destroy(&serial->lock);
}

static uint8_t pending(const struct serial *serial)
{
	if ((serial->ier & IER_RECEIVE) && serial->count) {
		return IIR_RECEIVE;
	}
	if ((serial->ier & IER_TRANSMIT) && serial->transmit_irq) {
		return IIR_TRANSMIT;
	}
	return IIR_NONE;
}

static void update_irq(struct serial *serial)
{
	bool irq = pending(serial) != IIR_NONE;

	if (irq != serial->irq) {
		serial->irq = irq;
		serial->set_irq(serial->cookie, irq);
	}
}

static uint8_t take_input(struct serial *serial)
{
	uint8_t byte;

	if (!serial->count) {
		return 0;
	}
	byte = serial->input[serial->head];
	serial->head = (serial->head + 1) % SERIAL_INPUT_MAX;
	serial->count--;
	return byte;
}

static uint8_t read_iir(struct serial *serial)
{
	uint8_t iir = pending(serial);

	if (iir == IIR_TRANSMIT) {
		serial->transmit_irq = false; /* reading the cause acknowledges it */
	}
	return (uint8_t)(iir | (serial->fcr & FCR_ENABLE ? IIR_FIFO : 0));
}

static uint64_t serial_read(void *cookie, uint64_t offset, unsigned int size)
{
	struct serial *serial = cookie;
	const bool dlab = serial->lcr & LCR_DLAB;
	uint8_t value = 0;

	(void)size;
	pthread_mutex_lock(&serial->lock);
	switch (offset) {
	case REG_DATA:
		value = dlab ? serial->dll : take_input(serial);
		break;
	case REG_IER:
		value = dlab ? serial->dlm : serial->ier;
		break;
	case REG_IIR:
		value = read_iir(serial);
		break;
	case REG_LCR:
		value = serial->lcr;
		break;
	case REG_MCR:
		value = serial->mcr;
		break;
	case REG_LSR:
		value = (uint8_t)(LSR_EMPTY | (serial->count ? LSR_READY : 0));
		break;
	case REG_MSR:
		value = MSR_LINES;
		break;
	case REG_SCR:
		value = serial->scr;
		break;
	default:
		break;
	}
	update_irq(serial);
	pthread_mutex_unlock(&serial->lock);
	return value;
}

/*
 * Until out takes a byte; false if the VM is to end first. A reader that does not read keeps nobody but
 * the guest waiting: the lock is free meanwhile.
 */
static bool wait_for_room(struct serial *serial)
{
	struct pollfd poll_fd[] = {{.fd = serial->out, .events = POLLOUT},
				   {.fd = serial->stop, .events = POLLIN}};

	pthread_mutex_unlock(&serial->lock);
	while (poll(poll_fd, 2, -1) < 0 && errno == EINTR) {
	}
	pthread_mutex_lock(&serial->lock);
	return poll_fd[0].revents != 0;
}

/* A reader that went away (EPIPE) loses the output; the guest goes on, as with an unplugged cable. */
static void transmit(struct serial *serial, uint8_t byte)
{
	if (serial->mcr & MCR_LOOP) {
		return;
	}
	while (wait_for_room(serial) && write(serial->out, &byte, 1) < 0) {
		if (errno != EINTR && errno != EAGAIN) {
			serial->out_error = errno == EPIPE ? 0 : errno;
			break;
		}
	}
	serial->transmit_irq = true;
}

static void write_register(struct serial *serial, uint64_t offset, uint8_t value)
{
	const bool dlab = serial->lcr & LCR_DLAB;

	switch (offset) {
	case REG_DATA:
		if (dlab) {
			serial->dll = value;
		} else {
			transmit(serial, value);
		}
		break;
	case REG_IER:
		if (dlab) {
			serial->dlm = value;
		} else {
			if (value & ~serial->ier & IER_TRANSMIT) {
				serial->transmit_irq = true; /* we are always empty */
			}
			serial->ier = value & IER_MASK;
		}
		break;
	case REG_IIR:
		serial->fcr = value;
		if (value & FCR_CLEAR_RECEIVE) {
			serial->count = 0;
		}
		break;
	case REG_LCR:
		serial->lcr = value;
		break;
	case REG_MCR:
		serial->mcr = value;
		break;
	case REG_SCR:
		serial->scr = value;
		break;
	default:
		break;
	}
}

static void serial_write(void *cookie, uint64_t offset, unsigned int size, uint64_t value)
{
	struct serial *serial = cookie;

	(void)size;
	pthread_mutex_lock(&serial->lock);
	write_register(serial, offset, (uint8_t)value);
	update_irq(serial);
	pthread_mutex_unlock(&serial->lock);
}

int serial_attach(struct serial *serial, struct bus *bus, s2_gpa_t gpa)
{
	const struct bus_device device = {.name = "serial",
					  .range = s2_range(gpa, SERIAL_SIZE),
					  .read = serial_read,
					  .write = serial_write,
					  .cookie = serial};
	const char *other;

	return bus_add(bus, &device, &other);
}

size_t serial_room(struct serial *serial)
{
	size_t room;

	pthread_mutex_lock(&serial->lock);
	room = SERIAL_INPUT_MAX - serial->count;
	pthread_mutex_unlock(&serial->lock);
	return room;
}

bool serial_listening(struct serial *serial)
{
	bool listening;

	pthread_mutex_lock(&serial->lock);
	listening = serial->ier & IER_RECEIVE;
	pthread_mutex_unlock(&serial->lock);
	return listening;
}

size_t serial_input(struct serial *serial, const uint8_t *data, size_t len)
{
	size_t taken = 0;

	pthread_mutex_lock(&serial->lock);
	while (taken < len && serial->count < SERIAL_INPUT_MAX) {
		serial->input[(serial->head + serial->count) % SERIAL_INPUT_MAX] = data[taken++];
		serial->count++;
	}
	update_irq(serial);
	pthread_mutex_unlock(&serial->lock);
	return taken;
}

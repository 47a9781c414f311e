/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <sys/wait.h>

#include "log.h"
#include "metal.h"

/* What QEMU's wait for good at 0xdead0000 | code, and x86's debug port, leave for the code. */
#define DEAD_MASK UINT64_C(0xffffffffffff0000)
#define DEAD UINT64_C(0xdead0000)
#define PORT_MARK 0x40

/* What the image has said by its machine's exit device; -1: it was not that which ended the emulator. */
static int image_code(const struct metal_machine *machine, int status, const struct metal_qmp *qmp)
{
	int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	switch (machine->exit) {
	case METAL_EXIT_STATUS:
		return exit_status;
	case METAL_EXIT_DEBUG_PORT:
		return exit_status > 0 && (exit_status & 1) && (exit_status >> 1 & PORT_MARK)
			       ? (exit_status >> 1) - PORT_MARK
			       : -1;
	case METAL_EXIT_DISABLED_WAIT:
		return qmp->waits && (qmp->psw & DEAD_MASK) == DEAD ? (int)(qmp->psw & ~DEAD_MASK)
								    : -1;
	}
	return -1;
}

/* The emulator's end was none of the image's. */
static int say_ended(const struct metal_request *request, int status, const struct metal_qmp *qmp)
{
	const char *name = request->machine->name;

	if (WIFSIGNALED(status)) {
		log_error("metal: %s: the emulator was ended by signal %d", name, WTERMSIG(status));
	} else if (qmp->version[0] == '\0') {
		log_error("metal: %s: the emulator ended with status %d before there was a "
			  "machine: is it QEMU 7.2 or later?",
			  name, WEXITSTATUS(status));
	} else if (qmp->waits) {
		log_error("metal: %s: the machine waits for good at %#" PRIx64
			  ", which is no exit code",
			  name, qmp->psw);
	} else {
		log_error("metal: %s: the emulator ended with status %d%s%s: no exit code of the "
			  "image's",
			  name, WEXITSTATUS(status), qmp->reason[0] != '\0' ? ", " : "",
			  qmp->reason);
	}
	return EXIT_CODE_GUEST_FAILED;
}

int metal_verdict(const struct metal_request *request, int status, const struct metal_qmp *qmp,
		  uint64_t said)
{
	static const char *const meaning[METAL_CODES] = {
		[METAL_BAD_ARGUMENTS] = "there is no such test: --list shows them",
		[METAL_CANNOT_GO_ON] = "the hypervisor could not go on: its last lines say why",
		[METAL_EXCEPTION] = "an exception in the hypervisor: its last lines have registers",
		[METAL_BAD_GUEST] = "the guest was stopped: its last lines say what it did",
	};
	int code = image_code(request->machine, status, qmp);

	if (qmp->version[0] == '\0' || code < 0 || code >= METAL_CODES) {
		return say_ended(request, status, qmp);
	}
	if (meaning[code] != NULL) {
		log_error("metal: %s: %s", request->machine->name, meaning[code]);
	} else if (said == 0) {
		/* An emulator that ends with 0 or 1 may do so for reasons of its own. */
		log_error("metal: %s: ended with %d, but without results", request->machine->name,
			  code);
		return EXIT_CODE_GUEST_FAILED;
	}
	return code;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include <inttypes.h>
#include <string.h>

#include "guest_abi.h"
#include "log.h"
#include "poison.h"
#include "protect.h"

/*
 * The guest asks: can the host read this? The MMU is asked as well as the tracker, because the point
 * of the question is to see that they agree. A page that was sealed for the occasion is EXPORTED now.
 */
static void peek(struct control *control, s2_gpa_t gpa)
{
	uint64_t value;
	const bool readable = memory_probe(control->memory, gpa, &value);
	const struct s2_page page = memory_page(control->memory, gpa);
	const bool offered = page.state == S2_SHARED && !page.widened;

	control->readable = readable && (offered || page.state == S2_EXPORTED);
	if (page.state == S2_POISONED) {
		log_error("gpa 0x%" PRIx64 " has a memory error: the host may not read it",
			  gpa.val);
	} else if (!readable) {
		log_error("gpa 0x%" PRIx64 " is secure: the host may not read it%s", gpa.val,
			  offered ? ", although the guest says that it shares it" : "");
	} else if (!control->readable) {
		log_error("gpa 0x%" PRIx64
			  " is %s: the host may not read it, although the MMU let it",
			  gpa.val, s2_state_name(page.state));
	} else {
		log_note("gpa 0x%" PRIx64 " is %s: the host reads %s0x%016" PRIx64, gpa.val,
			 s2_state_name(page.state), offered ? "" : "cipher text ", value);
	}
	control->peeked = control->readable ? value : 0;
}

/* The guest asks: can the host change this? */
static void poke(struct control *control, s2_gpa_t gpa)
{
	control->writable = memory_poke(control->memory, gpa);
	log_note("gpa 0x%" PRIx64 " is %s: the host %s it", gpa.val,
		 s2_state_name(memory_page(control->memory, gpa).state),
		 control->writable ? "has changed" : "could not change");
}

static void announce(struct control *control, s2_gpa_t gpa, bool shared)
{
	struct memory *memory = control->memory;
	const struct s2_range page = s2_range(s2_gpa(gpa.val & ~(S2_PAGE_SIZE - 1)), S2_PAGE_SIZE);
	enum memory_err err;

	if (memory->protect_ops->sees_calls) {
		err = memory_page(memory, gpa).state == S2_SHARED ? MEMORY_OK : MEMORY_STATE;
	} else {
		err = memory_claim(memory, shared ? S2_SHARE : S2_UNSHARE, page);
	}

	if (err) {
		log_note("guest says that it %s gpa 0x%" PRIx64 ", which is %s: ignored",
			 shared ? "shares" : "unshares", gpa.val,
			 ram_contains(&memory->ram, gpa, 1)
				 ? s2_state_name(memory_page(memory, gpa).state)
				 : "not RAM");
	}
}

static void open_ring(struct control *control, s2_gpa_t gpa)
{
	if (!memory_open_ring(control->memory, gpa)) {
		log_note("the guest's ring at gpa 0x%" PRIx64
			 " is not a page that it shares: ignored",
			 gpa.val);
	}
}

/* The guest asks for a memory error, which is for tests, and not for every guest to ask. */
static void break_page(struct control *control, s2_gpa_t gpa)
{
	int err = control->inject_errors ? poison_inject(control->memory, gpa) : 0;

	if (!control->inject_errors) {
		log_note("the guest asks for a memory error at gpa 0x%" PRIx64
			 ": ignored without --inject-errors",
			 gpa.val);
	} else if (err) {
		log_error("cannot make a memory error at gpa 0x%" PRIx64 ": %s", gpa.val,
			  strerror(-err));
	}
}

static void audit(struct control *control, uint64_t word)
{
	const struct ram *ram = &control->memory->ram;
	struct claims_audit found;
	struct s2_range run;

	control->differ = 0;
	if (!ring_run(word, s2_range(ram->gpa, ram->len), &run)) {
		log_note("audit: 0x%" PRIx64 " is not a run of RAM", word);
		return;
	}
	memory_audit(control->memory, run, &found);
	control->differ = found.unread + found.unclaimed;
	log_note("audit of gpa 0x%" PRIx64 ", pages 0x%" PRIx64 ": %" PRIu64
		 " shared and readable, %" PRIu64 " secure and refused, %" PRIu64
		 " shared and refused, %" PRIu64 " readable and not shared",
		 run.start.val, run.len / S2_PAGE_SIZE, found.shared, found.secure, found.unread,
		 found.unclaimed);
}

static uint64_t control_read(void *cookie, uint64_t offset, unsigned int size)
{
	const struct control *control = cookie;

	(void)size;
	switch (offset) {
	case CONTROL_PEEK:
		return control->readable;
	case CONTROL_PEEK_VALUE:
		return control->peeked;
	case CONTROL_AUDIT:
		return control->differ;
	case CONTROL_POKE:
		return control->writable;
	default:
		return 0;
	}
}

static void control_write(void *cookie, uint64_t offset, unsigned int size, uint64_t value)
{
	struct control *control = cookie;

	(void)size;
	switch (offset) {
	case CONTROL_EXIT:
		control->exit(control->cookie, value);
		break;
	case CONTROL_SHARED:
		announce(control, s2_gpa(value), true);
		break;
	case CONTROL_UNSHARED:
		announce(control, s2_gpa(value), false);
		break;
	case CONTROL_PEEK:
		peek(control, s2_gpa(value));
		break;
	case CONTROL_POKE:
		poke(control, s2_gpa(value));
		break;
	case CONTROL_MAILBOX:
		announce(control, s2_gpa(value), true);
		control->mailbox = s2_gpa(value);
		break;
	case CONTROL_RING:
		open_ring(control, s2_gpa(value));
		break;
	case CONTROL_POISON:
		break_page(control, s2_gpa(value));
		break;
	case CONTROL_AUDIT:
		audit(control, value);
		break;
	case CONTROL_DOORBELL:
		control->rung = true;
		break;
	default: /* CONTROL_DRAIN too: every exit drains the ring */
		break;
	}
}

int control_attach(struct control *control, struct bus *bus, s2_gpa_t gpa)
{
	const struct bus_device device = {.name = "control",
					  .range = s2_range(gpa, CONTROL_SIZE),
					  .read = control_read,
					  .write = control_write,
					  .cookie = control};
	const char *other;

	return bus_add(bus, &device, &other);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU Machine Protocol: one JSON object a line. The machine waits until we are listening (-S), so that no
 * event is missed, however soon it ends.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "metal.h"

static json_object *member(json_object *object, const char *name)
{
	json_object *value = NULL;

	json_object_object_get_ex(object, name, &value);
	return value;
}

/* An emulator that is gone by now says so by its end. */
static void say(const struct metal_qmp *qmp, const char *command)
{
	char text[64];
	int length = snprintf(text, sizeof(text), "{\"execute\": \"%s\"}\n", command);

	send(qmp->stream->fd, text, (size_t)length, MSG_NOSIGNAL);
}

static void take_greeting(struct metal_qmp *qmp, json_object *greeting)
{
	json_object *version = member(greeting, "version");
	json_object *number = member(version, "qemu");
	json_object *package = member(version, "package");
	const char *name = json_object_is_type(package, json_type_string)
				   ? json_object_get_string(package)
				   : "";

	snprintf(qmp->version, sizeof(qmp->version), "%d.%d.%d%s%s%s",
		 json_object_get_int(member(number, "major")),
		 json_object_get_int(member(number, "minor")),
		 json_object_get_int(member(number, "micro")), *name != '\0' ? " (" : "", name,
		 *name != '\0' ? ")" : "");
	say(qmp, "qmp_capabilities");
}

/* Of the data: {"info": {"type": "s390", "reason": "disabled-wait", "psw-addr": N, ...}, ...} */
static void take_panic(struct metal_qmp *qmp, json_object *data)
{
	json_object *psw = member(member(data, "info"), "psw-addr");

	if (json_object_is_type(psw, json_type_int)) {
		qmp->waits = true;
		qmp->psw = json_object_get_uint64(psw);
	}
}

static void take_event(struct metal_qmp *qmp, const char *event, json_object *data)
{
	json_object *reason = member(data, "reason");

	if (strcmp(event, "GUEST_PANICKED") == 0) {
		take_panic(qmp, data);
	} else if (strcmp(event, "SHUTDOWN") == 0 &&
		   json_object_is_type(reason, json_type_string)) {
		snprintf(qmp->reason, sizeof(qmp->reason), "%s", json_object_get_string(reason));
	}
}

void metal_qmp_line(void *cookie, const char *line)
{
	struct metal_qmp *qmp = cookie;
	json_object *top = json_tokener_parse(line);
	json_object *event = member(top, "event");

	if (member(top, "QMP") != NULL) {
		take_greeting(qmp, member(top, "QMP"));
	} else if (json_object_is_type(event, json_type_string)) {
		take_event(qmp, json_object_get_string(event), member(top, "data"));
	} else if (member(top, "return") != NULL && qmp->answers++ == 0) {
		say(qmp, "cont");
	}
	json_object_put(top);
}

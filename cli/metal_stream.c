/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <unistd.h>

#include "metal.h"

static void end_line(struct metal_stream *stream)
{
	stream->line[stream->length] = '\0';
	stream->length = 0;
	stream->take(stream->cookie, stream->line);
}

static void take(struct metal_stream *stream, char c)
{
	if (c == '\n') {
		end_line(stream);
	} else if (c != '\r') {
		/* What is not printable must not reach a terminal. */
		stream->line[stream->length++] = c >= ' ' && c <= '~' ? c : '?';
	}
	if (stream->length == sizeof(stream->line) - 1) {
		end_line(stream);
	}
}

void metal_stream_read(struct metal_stream *stream)
{
	char data[sizeof(stream->line)];
	ssize_t got = read(stream->fd, data, sizeof(data));

	for (ssize_t i = 0; i < got; i++) {
		take(stream, data[i]);
	}
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		metal_stream_end(stream);
	}
}

void metal_stream_end(struct metal_stream *stream)
{
	if (stream->length > 0) {
		end_line(stream);
	}
	if (stream->fd >= 0) {
		close(stream->fd);
		stream->fd = -1;
	}
}

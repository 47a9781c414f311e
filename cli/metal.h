/* SPDX-License-Identifier: BSD-2-Clause */
/* `stage2 metal`: runs the hypervisor of metal/ on an emulated machine. */
#ifndef CLI_METAL_H
#define CLI_METAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What the image's own parser takes (metal/args.c). */
#define METAL_WORD_MAX 31
#define METAL_WORDS_MAX 64
#define METAL_TEXT_MAX 1023

/* The image's own exit codes; from METAL_CODES on there are none. */
enum metal_code {
	METAL_PASSED,
	METAL_FAILED,
	METAL_BAD_ARGUMENTS,
	METAL_CANNOT_GO_ON,
	METAL_EXCEPTION,
	METAL_BAD_GUEST,
	METAL_CODES
};

/* How a machine's emulator tells the image's exit code. */
enum metal_exit {
	METAL_EXIT_STATUS,	 /* as its exit status */
	METAL_EXIT_DEBUG_PORT,	 /* its exit status is (code | 0x40) << 1 | 1 */
	METAL_EXIT_DISABLED_WAIT /* by QMP: a wait at the address 0xdead0000 | code */
};

struct metal_machine {
	const char *name;
	const char *about;
	const char *qemu;
	const char *package;	 /* the one of Debian that has it */
	const char *options[10]; /* that make it this machine; NULL behind them */
	const char
		*firmware_end; /* what its firmware's last line begins with; NULL: it is silent */
	uint64_t arguments;    /* the physical address at which the image looks for them */
	enum metal_exit exit;
	uint16_t elf_machine;
	bool big_endian;
};

/* One for each machine; ends with a name of NULL. */
extern const struct metal_machine metal_machines[];

/* What is asked for. */
struct metal_request {
	const struct metal_machine *machine;
	const char *image; /* NULL: metal_find_image() */
	const char *qemu;  /* NULL: machine->qemu */
	const char *json;
	uint64_t seconds;
	bool list, counts, mutants, help;
	char words[METAL_TEXT_MAX + 1]; /* for the image, blanks between them */
	unsigned int word_count;
};

/*
 * metal_image.c: the image next to this program, or the one that was named, looked at: is it one for this
 * machine? Returns 0 and a path to free, or an exit code.
 */
int metal_find_image(const struct metal_request *request, char **path);

/* metal_emulator.c: an emulator that has been started, its machine stopped until QMP's "cont". */
struct metal_emulator {
	pid_t pid;
	int out; /* what the machine's console says */
	int err; /* what the emulator itself says */
	int qmp;
};

/*
 * Returns 0 or an exit code. The descriptors do not block, and belong to the caller. The emulator is killed
 * when this process ends, however.
 */
int metal_emulator_start(struct metal_emulator *emulator, const struct metal_request *request,
			 const char *image);

/* metal_stream.c: bytes that come as they like, taken as lines of printable characters. */
struct metal_stream {
	int fd; /* not blocking; -1 after its end */
	void (*take)(void *cookie, const char *line);
	void *cookie;
	size_t length;
	char line[4096]; /* longer ones are cut into several */
};

/* Takes some of what has come. */
void metal_stream_read(struct metal_stream *stream);
/* No more will come: takes the last line, if it has no end, and closes the descriptor. */
void metal_stream_end(struct metal_stream *stream);

/* metal_qmp.c: the talk with QEMU's monitor: lets the machine run, hears how it ended. */
struct metal_qmp {
	const struct metal_stream *stream;
	unsigned int answers;
	char version[64]; /* of the emulator; "" until it has greeted */
	char reason[64];  /* why the machine was shut down; "" if it was not */
	bool waits;	  /* for good, at psw */
	uint64_t psw;
};

void metal_qmp_line(void *qmp, const char *line);

/* metal_verdict.c: the emulator has ended; what does that mean? said: lines of those that were to come. */
int metal_verdict(const struct metal_request *request, int status, const struct metal_qmp *qmp,
		  uint64_t said);

/* metal_run.c: runs it to its end. Returns the image's exit code or one of ours. */
int metal_run(const struct metal_request *request, const char *image);

/* `stage2 metal ARCH [TEST...]`; argv[0] is "metal". */
int metal_main(int argc, char **argv);

#endif

# SPDX-License-Identifier: BSD-2-Clause
"""What the commands of this folder share: exit codes, errors, signals, child processes."""

import ctypes
import os
import signal
import sys

# The same numbers as in vmm/log.h.
EXIT_USAGE = 64
EXIT_DATA = 65
EXIT_NO_INPUT = 66
EXIT_UNAVAILABLE = 69
EXIT_INTERNAL = 70
EXIT_OS = 71
EXIT_CANT_CREATE = 73
EXIT_TEMPFAIL = 75
EXIT_GUEST_FAILED = 80
EXIT_TIMEOUT = 124
EXIT_SIGNAL = 128

PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """One line for the user, and the exit code that goes with it."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Stopped(BaseException):
    """A signal asked us to end. Not an Exception: nothing but main() may catch it."""

    def __init__(self, signum):
        super().__init__(signum)
        self.code = EXIT_SIGNAL + signum


def say(message):
    """One line on stderr. A stderr that is gone is no reason to fail."""
    try:
        sys.stderr.write(f'stage2: {message}\n')
        sys.stderr.flush()
    except OSError:
        pass


def stop_on_signals():
    """Turn the signals that end a program into Stopped, so that cleaning up happens in one way."""
    def stop(signum, _frame):
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What the caller ignores (nohup, a background job of a script) stays ignored.
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, stop)


def run_main(main):
    """Run main(argv), return its exit code, and turn every foreseeable end into one line."""
    try:
        stop_on_signals()
        return main(sys.argv[1:])
    except Failure as failure:
        say(failure)
        return failure.code
    except Stopped as stopped:
        return stopped.code
    except BrokenPipeError:
        # Our reader has gone, as with `| head`. Keep the interpreter's own flush at exit quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_SIGNAL + signal.SIGPIPE
    except OSError as error:
        say(describe(error))
        return EXIT_OS


def describe(error):
    """An OSError in the order the user wants to read it."""
    return f'{error.filename}: {error.strerror}' if error.filename else str(error.strerror or error)


def die_with_parent():
    """A function for Popen's preexec_fn: the child gets SIGKILL when this process ends, however."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def tie():
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(EXIT_SIGNAL + signal.SIGKILL)

    return tie


def open_standard_streams():
    """Give descriptors 0 to 2 that the caller has closed to /dev/null, so that nothing else gets
    these numbers."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)

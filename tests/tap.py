# SPDX-License-Identifier: BSD-2-Clause
"""Tests that print TAP: functions named test_*, run in the order of their file."""

import os
import signal
import sys
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
FETCH = os.path.join(TOP, 'guest-images/fetch')
BOARD = os.path.join(TOP, 'guest-images/board')


class Skip(Exception):
    """This test cannot be made here; the text says why."""


def run(tests):
    """Run the test functions of a module's globals (or those named on the command line)."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that scratch folders are removed
    chosen = [(name, function) for name, function in tests.items()
              if name.startswith('test_') and (not sys.argv[1:] or name in sys.argv[1:])]
    failed = 0
    print(f'1..{len(chosen)}', flush=True)
    for number, (name, function) in enumerate(chosen, 1):
        title = (function.__doc__ or name).strip()
        try:
            function()
            print(f'ok {number} - {title}', flush=True)
        except Skip as reason:
            print(f'ok {number} - {title} # SKIP {reason}', flush=True)
        except Exception:
            failed += 1
            print(f'not ok {number} - {title}')
            for line in traceback.format_exc().splitlines():
                print(f'# {line}', flush=True)
    return 1 if failed else 0


def equal(got, expected):
    assert got == expected, f'got {got!r}, expected {expected!r}'


def eventually(condition, seconds):
    """Whether the condition becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def marked_processes(mark):
    """The processes that have MARK=mark in their environment, without zombies, as {pid: name}."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/environ', 'rb') as file:
                if f'MARK={mark}'.encode() in file.read().split(b'\0'):
                    with open(f'/proc/{pid}/comm', encoding='utf-8') as name:
                        found[int(pid)] = name.read().strip()
        except OSError:
            pass
    return found

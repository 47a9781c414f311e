#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The library's tables under four machines' MMUs: every test of `stage2 metal` as one of ours, guests that
misbehave, counts, and mutants.

usage: test_metal.py STAGE2 [ARCH]...
"""

import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import tap  # noqa: E402

STAGE2 = os.path.realpath(sys.argv[1])
MACHINES = ['riscv64', 'arm64', 's390x', 'x86_64']  # the slowest first
CHOSEN = sys.argv[2:] or MACHINES
AT_ONCE = 2             # machines; a test of two processors keeps two of ours busy, others one
LIMIT = 240             # seconds for a run of all tests
BAD_LIMIT = 30          # for one with a guest that misbehaves
PASSED, BAD_ARGUMENTS, BAD_GUEST, UNAVAILABLE = 0, 2, 5, 69
# What must be said of each.
BAD_GUESTS = {
    'wild-read': r'translation fault for a read at gpa 0x40123',
    'wild-exec': r'(permission|translation) fault for a (fetch|read) at gpa 0x40000',
    'bad-call': r'hypercall 0x9999 \(0xf{16}, 0x7\)',
    'endless': r'does not stop',
}
# Too long to be run once a mutant, or no matter of flushes.
NOT_FOR_MUTANTS = ('demand-', 'leaves', 'misbehave', 'share')
OPERATIONS = {'map', 'unmap', 'protect', 'split', 'share'}
SIZES = {1, 4, 16, 512}


class Results:
    """Prints TAP as it comes, from several threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count = 0
        self.failed = 0

    def add(self, good, name, notes=(), skip=None):
        with self.lock:
            self.count += 1
            self.failed += not good
            print(f'{"ok" if good else "not ok"} {self.count} - {name}'
                  f'{f" # SKIP {skip}" if skip else ""}')
            for note in notes:
                print(f'# {note}')
            sys.stdout.flush()


results = Results()


def metal(arch, *args, limit=LIMIT):
    done = subprocess.run([STAGE2, 'metal', arch, '--timeout', str(limit), *args], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def run_tests(arch):
    """All tests, one a line."""
    code, lines, errors = metal(arch)
    notes, count, failed = [], 0, 0
    for line in lines:
        found = re.fullmatch(r'(not )?ok (\d+) - (\S+)(?: # SKIP (.*))?', line)
        if found:
            count += 1
            failed += bool(found.group(1))
            good = not found.group(1) and int(found.group(2)) == count
            results.add(good, f'{arch} {found.group(3)}', [] if good else notes, found.group(4))
        notes = [] if found else notes + [line.lstrip('# ')]
    good = code == bool(failed) and f'1..{count}' in lines[-1:] and count > 0
    results.add(good, f'{arch} ends with exit code {code} after {count} tests',
                [] if good else notes + errors)


def run_bad_guests(arch):
    """Guests that misbehave, and a test that there is not: reports, and exit codes, in time."""
    for name, report in BAD_GUESTS.items():
        start = time.monotonic()
        code, lines, errors = metal(arch, name, limit=BAD_LIMIT)
        seconds = time.monotonic() - start
        good = code == BAD_GUEST and any(re.search(report, line) for line in lines) \
            and len(errors) == 1 and 'the guest was stopped' in errors[0]
        results.add(good, f'{arch} {name}: a report, exit code {code}',
                    [] if good else [f'after {seconds:.1f} s', *lines, *errors])
    code, lines, errors = metal(arch, 'no-such-test', limit=BAD_LIMIT)
    good = code == BAD_ARGUMENTS and len(errors) == 1
    results.add(good, f'{arch} no-such-test: exit code {code}', [] if good else lines + errors)


def run_counts(arch):
    """Exact counts: the same twice, of all operations and sizes."""
    (code, lines, errors), again = metal(arch, '--counts'), metal(arch, '--counts')
    counts = [line for line in lines if line.startswith('count ')]
    results.add(code == PASSED and counts and (code, lines, errors) == again,
                f'{arch} {len(counts)} counts are the same on every run',
                errors + [f'{a} | {b}' for a, b in zip(lines, again[1]) if a != b][:10])
    seen = {}
    for line in counts:
        _, space, operation, pages, *_ = line.split()
        seen.setdefault(space, {}).setdefault(operation, set()).add(int(pages.split('=')[1]))
    missing = [f'{space}: {operation}' for space, operations in seen.items()
               for operation in OPERATIONS if operations.get(operation) != SIZES]
    demand = all(any(name.startswith('demand') and sizes == SIZES for name, sizes in found.items())
                 for found in seen.values())
    results.add(seen and demand and not missing, f'{arch} counts each operation at each size', missing)


def run_mutants(arch):
    """Which of the mutants the tests of the machine's first kind of space notice: by name, None if none."""
    _, names, errors = metal(arch, '--list')
    space = names[0].split('/')[0] if names else ''
    chosen = [name for name in names if name.startswith(f'{space}/')
              and not name.split('/')[1].startswith(NOT_FOR_MUTANTS)]
    code, lines, errors = metal(arch, '--mutants', *chosen)
    found = {}
    for line in lines:
        killed = re.fullmatch(r'mutant (\S+) (?:killed by (\S+)|survives|does not apply)', line)
        if killed:
            found[killed.group(1)] = killed.group(2)
    results.add(code == PASSED and bool(found), f'{arch} runs {len(found)} mutants',
                [] if code == PASSED else lines + errors)
    return found


def run_interrupted(arch):
    """Ctrl-C: exit code 130, and no emulator is left."""
    mark = f'metal-{os.getpid()}-{arch}'
    child = subprocess.Popen([STAGE2, 'metal', arch, 'endless'], text=True, start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env={**os.environ, 'MARK': mark})
    child.stdout.readline()
    running = list(tap.marked_processes(mark).values())
    os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=BAD_LIMIT)
    gone = tap.eventually(lambda: not tap.marked_processes(mark), 2)
    good = (len(running), child.returncode, errors, gone) == (2, 130, '', True)
    results.add(good, f'{arch} interrupted: exit code {child.returncode}',
                [] if good else [*running, errors])


def report_mutants(killers, all_machines):
    """killers: for each machine what run_mutants() returned. None may survive all machines."""
    names = dict.fromkeys(name for found in killers.values() for name in found)
    for name in names:
        by = [f'{arch} ({found[name]})' for arch, found in killers.items() if found.get(name)]
        skip = None if by or all_machines else 'the machines that could notice it cannot be run here'
        results.add(by or skip, f'mutant {name}: killed by {", ".join(by) or "none"}', skip=skip)


def available(arch):
    """Whether the machine can be run here; a skip that says why not, if it cannot."""
    code, lines, errors = metal(arch, '--list', limit=BAD_LIMIT)
    if code == UNAVAILABLE:
        results.add(True, arch, skip=errors[0].removeprefix('stage2: metal: '))
    elif code != PASSED or not lines:
        results.add(False, f'{arch} lists its tests', lines + errors)
    return code == PASSED


def guarded(job, arch):
    try:
        return job(arch)
    except Exception:
        results.add(False, f'{arch} {job.__name__}', traceback.format_exc().splitlines())
        return {}


JOBS = (run_tests, run_mutants, run_counts, run_bad_guests, run_interrupted)


def main():
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        machines = [arch for arch, good in zip(CHOSEN, pool.map(available, CHOSEN)) if good]
        done = {(job, arch): pool.submit(guarded, job, arch)
                for job in JOBS for arch in machines}
    mutants = {arch: done[run_mutants, arch] for arch in machines}
    report_mutants({arch: found.result() for arch, found in mutants.items()}, len(machines) == len(MACHINES))
    print(f'1..{results.count}')
    return 1 if results.failed else 0


if __name__ == '__main__':
    sys.exit(main())

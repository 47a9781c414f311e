#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The transition engine and its oracle on the emulated boards: transition-kvm, for each kind of protection."""

import functools
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
import tap  # noqa: E402
from tap import BOARD, TOP, Skip  # noqa: E402

PROGRAM = 'tests/transition/kvm/transition-kvm'
SECONDS = 240  # a board takes 20 where nothing else runs


@functools.lru_cache(None)
def run(board, build, kind, image):
    """Boots a board and runs the program there: TAP, and exit code 0."""
    files = [os.path.join(TOP, build, PROGRAM), os.path.join(TOP, build, 'guest-images/payload', image)]
    for file in files:
        if not os.path.exists(file):
            raise Skip(f'{os.path.relpath(file, TOP)} is not built; run scripts/prepare check')
    boards = subprocess.run([BOARD, '--list'], capture_output=True, text=True, check=True).stdout
    if not re.search(rf'^\s*{board}\s', boards, re.MULTILINE):
        raise Skip(f'there is no board {board}')
    script = ' '.join(f'export {name}={os.environ[name]};' for name in ('S2_SEED', 'STAGE2_MODEL_OPS')
                      if name in os.environ)
    done = subprocess.run([BOARD, board, '--quiet', '--timeout', str(SECONDS), '--file', files[0],
                           '--file', files[1], '--', 'sh', '-c',
                           f'{script} exec transition-kvm {kind} /{image}'],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    # The seed, the counts, and what differs if anything does.
    for line in done.stdout.splitlines():
        print(f'# {kind}: {line}', flush=True)
    if done.returncode in (69, 75):
        raise Skip(done.stderr.strip().splitlines()[-1])
    return done


def look(board, build, kind, image):
    """All that the program planned was looked at, and was right. Whether it was skipped."""
    done = run(board, build, kind, image)
    skipped = re.search(r'^1\.\.0 # SKIP (.*)', done.stdout, re.MULTILINE)
    assert done.returncode == 0, (done.returncode, done.stdout[-500:], done.stderr[-500:])
    if not skipped:
        planned = int(re.search(r'^1\.\.(\d+)$', done.stdout, re.MULTILINE).group(1))
        passed = re.findall(r'^ok \d+ - .*?(?:: (\d+)|# SKIP .*)$', done.stdout, re.MULTILINE)
        assert len(passed) == planned, (planned, passed)
        assert not re.search('^not ok', done.stdout, re.MULTILINE), done.stdout
    return skipped and f'{skipped.group(1)}: {done.stderr.strip()}'


def test_pkvm():
    """pKVM: the hypervisor keeps the host out"""
    assert not look('arm64-pkvm', 'build-arm64', 'pkvm', 'payload.img')


def test_uv():
    """the software Ultravisor in front of KVM: export and import, too"""
    assert not look('arm64', 'build-arm64', 'uv', 'payload.img')


def test_sw():
    """KVM's private memory on x86_64"""
    why = look('x86_64-sw-protected', 'build-x86_64', 'sw', 'payload.elf')
    if why:
        raise Skip(why)


def test_absent():
    """pKVM where the host's KVM does not have it: a skip that says so, and no failure"""
    assert look('arm64', 'build-arm64', 'pkvm', 'payload.img')


if __name__ == '__main__':
    sys.exit(tap.run(globals()))

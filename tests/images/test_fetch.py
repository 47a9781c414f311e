#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""guest-images/fetch: what it does with and without a network, with a good and a bad cache."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import tap  # noqa: E402
from tap import FETCH, Skip, equal  # noqa: E402

NOWHERE = 'http://127.0.0.1:9'
THING = 'busybox-arm64'  # the smallest
scratch = tempfile.TemporaryDirectory(prefix='stage2-test.')


def environ(cache, **more):
    return dict(os.environ, STAGE2_CACHE=cache, **more)


def fetch(cache, *args, **more):
    return subprocess.run([FETCH, *args], env=environ(cache, **more), text=True, timeout=250,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)


def new_cache(name):
    return os.path.join(scratch.name, name)


def full_cache(name):
    """A cache of its own that holds THING, copied from one that is fetched once."""
    master = new_cache('master')
    if not os.path.exists(f'{master}/{THING}'):
        done = fetch(master, THING)
        if done.returncode == 75:
            raise Skip(f'no network: {done.stderr.splitlines()[-1]}')
        equal(done.returncode, 0)
    return shutil.copytree(master, new_cache(name))


def binary(cache):
    return f'{cache}/{THING}/busybox'


def content(path):
    with open(path, 'rb') as file:
        return file.read()


def test_usage():
    """unknown things and options: one line, exit 64"""
    for args in (['nonsense'], ['--nonsense']):
        done = fetch(new_cache('usage'), *args)
        equal(done.returncode, 64)
        equal(done.stdout, '')
        equal(len(done.stderr.splitlines()), 1)
        assert done.stderr.startswith('stage2: unknown '), done.stderr


def test_no_network():
    """no network and nothing cached: exit 75, one line that names the mirror, nothing left"""
    cache = new_cache('empty')
    done = fetch(cache, THING, STAGE2_MIRROR=NOWHERE)
    equal(done.returncode, 75)
    equal(done.stdout, '')
    errors = [line for line in done.stderr.splitlines() if ': fetching ' not in line]
    equal(len(errors), 1)
    assert NOWHERE in errors[0] and 'STAGE2_MIRROR' in errors[0], errors
    equal(os.listdir(cache), ['lock'])


def test_offline_and_empty():
    """--offline and nothing cached: exit 75, one line that says what to run"""
    done = fetch(new_cache('offline'), '--offline', THING)
    equal(done.returncode, 75)
    equal(len(done.stderr.splitlines()), 1)
    assert f'guest-images/fetch {THING}' in done.stderr, done.stderr


def test_no_place():
    """a cache that cannot be made: exit 73, one line"""
    done = fetch('/proc/nowhere', THING)
    equal(done.returncode, 73)
    equal(len(done.stderr.splitlines()), 1)


def test_full_cache():
    """a full cache needs no network and says nothing but the path"""
    cache = full_cache('full')
    for args in ([THING], ['--offline', THING]):
        done = fetch(cache, *args, STAGE2_MIRROR=NOWHERE)
        equal((done.returncode, done.stdout, done.stderr), (0, f'{THING} {binary(cache)}\n', ''))


def test_corrupt_file():
    """a cached file with one bit flipped is fetched again"""
    cache = full_cache('corrupt')
    good = content(binary(cache))
    with open(binary(cache), 'r+b') as file:
        file.seek(1000)
        file.write(bytes([good[1000] ^ 1]))
    done = fetch(cache, '--offline', THING)
    equal(done.returncode, 75)
    assert 'damaged' in done.stderr, done.stderr
    done = fetch(cache, THING)
    equal(done.returncode, 0)
    assert 'damaged' in done.stderr, done.stderr
    equal(content(binary(cache)), good)
    equal(sorted(os.listdir(cache)), [THING, 'lock'])


def test_broken_entries():
    """a truncated file, a missing file and a broken manifest are noticed"""
    for name, path, text in (('short', 'busybox', b''), ('gone', 'busybox', None),
                             ('manifest', 'manifest.json', b'{"files": 7')):
        cache = full_cache(name)
        os.unlink(f'{cache}/{THING}/{path}')
        if text is not None:
            with open(f'{cache}/{THING}/{path}', 'wb') as file:
                file.write(text)
        done = fetch(cache, '--offline', THING)
        equal(done.returncode, 75)
        assert 'damaged' in done.stderr, done.stderr


def test_parallel():
    """two fetches at once: both succeed, one of them does the work"""
    full_cache('probe')
    cache = new_cache('parallel')
    both = [subprocess.Popen([FETCH, THING], env=environ(cache), text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) for _ in range(2)]
    results = [child.communicate(timeout=250) for child in both]
    equal([child.returncode for child in both], [0, 0])
    equal([out for out, _ in results], [f'{THING} {binary(cache)}\n'] * 2)
    equal(sum('fetching' in err for _, err in results), 1)
    equal(sorted(os.listdir(cache)), [THING, 'lock'])


def interrupted(cache, signum):
    """Start a fetch, send it a signal in the middle, and return it and what is left running."""
    full_cache(f'probe-{signum}')
    mark = os.path.basename(cache) + str(os.getpid())
    child = subprocess.Popen([FETCH, THING], env=environ(cache, MARK=mark), text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    assert tap.eventually(lambda: 'apt-get' in tap.marked_processes(mark).values(), 20)
    time.sleep(0.3)
    child.send_signal(signum)
    out, err = child.communicate(timeout=20)
    equal(out, '')
    equal([line for line in err.splitlines() if ': fetching ' not in line], [])
    assert tap.eventually(lambda: not tap.marked_processes(mark), 5), tap.marked_processes(mark)
    return child


def test_interrupted():
    """Ctrl-C: exit 130, nothing left but the lock's file"""
    cache = new_cache('interrupted')
    equal(interrupted(cache, signal.SIGINT).returncode, 130)
    equal(os.listdir(cache), ['lock'])


def test_killed():
    """SIGKILL: no lock is held, no half thing is there, and the next fetch cleans up"""
    cache = new_cache('killed')
    equal(interrupted(cache, signal.SIGKILL).returncode, -signal.SIGKILL)
    assert not os.path.exists(f'{cache}/{THING}')
    equal(fetch(cache, THING).returncode, 0)
    equal(sorted(os.listdir(cache)), [THING, 'lock'])


def test_fallback():
    """a suite that is not there does not stop the next one"""
    full_cache('probe-fallback')
    cache = new_cache('fallback')
    code = ('import sys; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True\n'
            f'import cache; cache.THINGS[{THING!r}].suites = ("no-such-suite", "bookworm")\n'
            f'print(cache.ensure([{THING!r}])[0])')
    done = subprocess.run([sys.executable, '-c', code, f'{tap.TOP}/guest-images/lib'], text=True,
                          env=environ(cache), timeout=250, capture_output=True, check=False)
    equal((done.returncode, done.stdout), (0, f'{binary(cache)}\n'))


if __name__ == '__main__':
    with scratch:
        sys.exit(tap.run(globals()))

# SPDX-License-Identifier: BSD-2-Clause
"""Building the one kernel that Debian does not have, from Debian's source.

All work is in one folder of the cache, building.THING, which is kept until the kernel is made: its parts
appear by a rename each, and make goes on where it was.
"""

import fcntl
import os
import re
import shutil
import subprocess

import cache
from common import (EXIT_CANT_CREATE, EXIT_INTERNAL, EXIT_TEMPFAIL, EXIT_UNAVAILABLE, Failure,
                    describe, die_with_parent, say)

NAME = 'kernel-amd64-sw'
CONFIG = os.path.join(os.path.dirname(os.path.realpath(__file__)), 'x86_64-sw.config')
COMPILER = 'x86_64-linux-gnu-'

# What the build runs or includes, and the package that has it.
NEEDED = (
    ('make', 'make'), ('flex', 'flex'), ('bison', 'bison'), ('bc', 'bc'), ('xz', 'xz-utils'),
    ('gcc', 'gcc'), (f'{COMPILER}gcc', 'gcc-x86-64-linux-gnu'),
    ('/usr/include/gelf.h', 'libelf-dev'), ('/usr/include/openssl/evp.h', 'libssl-dev'),
)
# So that one source makes one kernel.
ENVIRON = {'KBUILD_BUILD_TIMESTAMP': '1970-01-01', 'KBUILD_BUILD_USER': 'stage2',
           'KBUILD_BUILD_HOST': 'stage2', 'LC_ALL': 'C.UTF-8'}


def missing_packages():
    """Names of the packages that have to be installed before a kernel can be built."""
    return [package for thing, package in NEEDED
            if not (os.path.exists(thing) if thing.startswith('/') else shutil.which(thing))]


def build(jobs, again=False):
    """The path of the kernel, which is built if it is not in the cache."""
    if not again and not cache.damage(NAME):
        return cache.thing_path(NAME)
    missing = missing_packages()
    if missing:
        raise Failure(EXIT_UNAVAILABLE, 'cannot build a kernel here: apt install '
                      f'{" ".join(missing)}')
    work = os.path.join(cache.cache_dir(), f'building.{NAME}')
    try:
        with locked(work):
            if again or cache.damage(NAME):
                make_kernel(work, jobs)
    except OSError as error:
        raise Failure(EXIT_CANT_CREATE, f'cannot build {NAME}: {describe(error)}') from None
    return cache.thing_path(NAME)


class locked:
    """The folder where the work is done, made and held against other builds."""

    def __init__(self, work):
        self.work = work
        self.file = None

    def __enter__(self):
        os.makedirs(self.work, exist_ok=True)
        self.file = open(f'{self.work}.lock', 'a', encoding='utf-8')
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'waiting for another build of {NAME}')
            fcntl.flock(self.file, fcntl.LOCK_EX)
        os.makedirs(self.work, exist_ok=True)

    def __exit__(self, *_):
        self.file.close()


def make_kernel(work, jobs):
    source = f'{work}/source'
    suite, package = get_source(work, source)
    say(f'building {NAME} from {package[0]} {package[1]}: some minutes on {jobs} processors')
    configure(source)
    make(source, f'-j{jobs}', 'bzImage')
    new = f'{work}/{NAME}'
    shutil.rmtree(new, ignore_errors=True)
    os.mkdir(new)
    shutil.copy(f'{source}/arch/x86/boot/bzImage', f'{new}/vmlinuz')
    os.chmod(f'{new}/vmlinuz', 0o644)
    cache.write_manifest(NAME, new, suite, [package])
    with cache.locked_cache(False):
        cache.install(new, os.path.join(cache.cache_dir(), NAME))
    shutil.rmtree(work, ignore_errors=True)


def get_source(work, source):
    """Unpack the source, unless an earlier run has, and return its suite and (package, version)."""
    note = f'{source}/.stage2-source'
    if os.path.exists(note):
        with open(note, encoding='utf-8') as file:
            suite, *package = file.read().split()
        return suite, tuple(package)
    problems = []
    for suite in cache.THINGS[NAME].suites:
        try:
            package = unpack_from(suite, work, source)
        except (Failure, cache.NoSuchPackage) as problem:
            if getattr(problem, 'code', EXIT_TEMPFAIL) != EXIT_TEMPFAIL:
                raise
            problems.append(str(problem))
            continue
        with open(f'{work}/note', 'w', encoding='utf-8') as file:
            file.write(f'{suite} {" ".join(package)}\n')
        os.rename(f'{work}/note', note)
        return suite, package
    raise Failure(EXIT_TEMPFAIL, f'cannot fetch the source of {NAME} from {cache.mirror()}: '
                  f'{problems[0]}; check the network, or name another mirror in STAGE2_MIRROR')


def unpack_from(suite, work, source):
    """Fetch and unpack what linux-source of a suite depends on: its name carries the version."""
    for name in ('apt', 'source', 'tar'):
        shutil.rmtree(f'{work}/{name}', ignore_errors=True)
    os.mkdir(f'{work}/tar')
    say(f'fetching the source of {NAME} from {suite}')
    apt = cache.AptSuite(f'{work}/apt', suite, 'amd64')
    for package in apt.dependencies('linux-source'):
        if re.match(r'linux-source-[0-9]', package):
            deb = apt.download(package)
            version = cache.package_version(deb)
            tars = cache.extract(deb, f'{work}/tar', lambda path: os.path.basename(path)
                                 if re.search(r'/linux-source-[0-9.]+\.tar\.xz$', path) else None)
            if tars:
                shutil.rmtree(f'{work}/apt')
                os.mkdir(source)
                run(['tar', '-C', source, '--strip-components=1', '-xJf', f'{work}/tar/{tars[0]}'],
                    work, 'unpack')
                shutil.rmtree(f'{work}/tar')
                return package, version
    raise cache.NoSuchPackage(f'{suite} has no linux-source')


def configure(source):
    """tinyconfig and our own lines; every one of them must have held."""
    with open(CONFIG, encoding='utf-8') as file:
        wanted = [line.strip() for line in file if line.startswith('CONFIG_')]
    made = f'{source}/.stage2-config'
    if os.path.exists(made):
        with open(made, encoding='utf-8') as file:
            if file.read().split('\n') == wanted:
                return
    make(source, 'tinyconfig')
    with open(f'{source}/.config', 'a', encoding='utf-8') as file:
        file.write('\n'.join(wanted) + '\n')
    make(source, 'olddefconfig')
    with open(f'{source}/.config', encoding='utf-8') as file:
        got = file.read().splitlines()
    lost = [line for line in wanted if line not in got]
    if lost:
        raise Failure(EXIT_INTERNAL, f'this kernel\'s configuration does not take {lost[0]}: '
                      'lib/x86_64-sw.config is to be changed')
    with open(made, 'w', encoding='utf-8') as file:
        file.write('\n'.join(wanted))


def make(source, *args):
    run(['make', '-s', 'ARCH=x86_64', f'CROSS_COMPILE={COMPILER}', *args], source, 'build')


def run(command, folder, what):
    """Run a program to its end, nothing shown unless it fails; it never outlives us."""
    with open(f'{os.path.dirname(folder) if what == "build" else folder}/log', 'wb+') as log:
        child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, env=dict(os.environ, **ENVIRON),
                                 preexec_fn=die_with_parent())
        try:
            child.wait()
        finally:
            child.terminate()
            child.wait()
        log.seek(0)
        lines = log.read().decode(errors='replace').splitlines()
    if child.returncode:
        last = '\n'.join(lines[-10:])
        raise Failure(EXIT_INTERNAL, f'cannot {what} {NAME}; the last lines of {command[0]}:\n{last}')

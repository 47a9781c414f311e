#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The tree: every folder has a README, what READMEs name exists, licences are named, C is formatted."""

import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import tap  # noqa: E402
from tap import TOP, Skip, equal  # noqa: E402

NO_README = {'.ci'}  # read by a machine
FOLDERS = ('stage2/', 'arch/', 'vmm/', 'measure/', 'cli/', 'guest-images/', 'tests/', 'scripts/',
           'examples/', 'bench/', 'metal/')


def files():
    done = subprocess.run(['git', '-C', TOP, 'ls-files'], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip('not a git checkout')
    return [name for name in done.stdout.split('\n')
            if name and os.path.exists(os.path.join(TOP, name))]


def read(name):
    with open(os.path.join(TOP, name), encoding='utf-8') as file:
        return file.read()


def test_readmes():
    """every folder has a README.md"""
    folders = set()
    for name in files():
        folder = os.path.dirname(name)
        while folder:
            folders.add(folder)
            folder = os.path.dirname(folder)
    has = {os.path.dirname(name) for name in files() if os.path.basename(name) == 'README.md'}
    # Headers live one or two levels below the folder that explains them.
    explained = {name for name in folders if re.search(r'/include(/stage2)?$', name)}
    equal(sorted(folders - has - NO_README - explained), [])


def test_named_files():
    """every path that a README names exists"""
    missing = []
    for readme in files():
        if not readme.endswith('.md'):
            continue
        for path in re.findall(r'`([\w.-]+(?:/[\w.-]+)+/?)`', read(readme)):
            if path.startswith(FOLDERS) and not os.path.exists(os.path.join(TOP, path)):
                missing.append(f'{readme}: {path}')
    equal(missing, [])


def test_licence():
    """every source names its licence"""
    kinds = ('.c', '.h', '.S', '.ld', '.py', 'meson.build')
    equal([name for name in files() if name.endswith(kinds)
           and 'SPDX-License-Identifier: BSD-2-Clause' not in read(name)[:200]], [])


def test_format():
    """clang-format changes nothing"""
    if not shutil.which('clang-format'):
        raise Skip('no clang-format')
    sources = [os.path.join(TOP, name) for name in files() if name.endswith(('.c', '.h'))]
    done = subprocess.run(['clang-format', '--dry-run', '-Werror', *sources], capture_output=True,
                          text=True, check=False)
    equal(done.stderr.splitlines()[:3], [])


if __name__ == '__main__':
    sys.exit(tap.run(globals()))

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The library with one format, as a hypervisor embeds it: cross-compiled, freestanding, no vector
registers. It must want four functions of its surroundings, and be small. So must the Ultravisor.

freestanding.py SOURCE_ROOT"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

CC = 'aarch64-linux-gnu-gcc'
FLAGS = ['-std=c11', '-O2', '-ffreestanding', '-mgeneral-regs-only', '-mno-outline-atomics',
         '-Wall', '-Wextra', '-Werror', '-fno-asynchronous-unwind-tables']
HOSTED = {'openssl.c'}
# What is linked together, what it wants, and how large it may be.
BUNDLES = [
    ('library', ['stage2', 'arch/arm64'], {'memcmp', 'memcpy', 'memmove', 'memset'}, 48 * 1024),
    ('library with the transition engine', ['stage2', 'stage2/convert', 'arch/arm64'],
     {'memcmp', 'memcpy', 'memmove', 'memset'}, 66 * 1024),
    ('Ultravisor', ['arch/uv'], {'memcmp', 'memcpy', 'memset'}, 16 * 1024),
    ('transition engine and Ultravisor', ['stage2', 'stage2/convert', 'arch/uv', 'arch/uv/host'],
     {'memcmp', 'memcpy', 'memmove', 'memset'}, 64 * 1024),
]


def run(*command):
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout


def build(root, folder, parts):
    """Undefined symbols, and bytes of code and constants."""
    include = [f'-I{root / path / "include"}' for path in ['stage2', *parts]]
    objects = []
    for source in [source for part in parts for source in sorted(root.glob(f'{part}/*.c'))]:
        if source.name not in HOSTED:
            objects.append(f'{folder}/{len(objects)}-{source.stem}.o')
            run(CC, *FLAGS, *include, '-c', source, '-o', objects[-1])
    run(CC, '-nostdlib', '-r', '-o', f'{folder}/all.o', *objects)
    undefined = {line.split()[-1] for line in run('nm', '-u', f'{folder}/all.o').splitlines()}
    sections = [line.split() for line in run('size', '-A', f'{folder}/all.o').splitlines()]
    return undefined, sum(int(section[1]) for section in sections
                          if section and section[0].startswith(('.text', '.rodata')))


def main():
    root = pathlib.Path(sys.argv[1])
    if not shutil.which(CC):
        print(f'1..0 # SKIP no {CC}')
        return 0
    results = []
    for name, parts, wanted, text_max in BUNDLES:
        with tempfile.TemporaryDirectory() as folder:
            undefined, text = build(root, folder, parts)
        results += [(f'{name}: wants {" ".join(sorted(undefined))}', undefined == wanted),
                    (f'{name}: {text} bytes of code and constants, at most {text_max}',
                     text <= text_max)]
    print(f'1..{len(results)}')
    for number, (name, good) in enumerate(results, 1):
        print(f'{"ok" if good else "not ok"} {number} - {name}')
    return 0 if all(good for _, good in results) else 1


if __name__ == '__main__':
    sys.exit(main())

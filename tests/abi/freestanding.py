#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The library with one format, as a hypervisor embeds it: cross-compiled, freestanding, no vector
registers. It must want four functions of its surroundings, and be small.

freestanding.py SOURCE_ROOT"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

CC = 'aarch64-linux-gnu-gcc'
FLAGS = ['-std=c11', '-O2', '-ffreestanding', '-mgeneral-regs-only', '-mno-outline-atomics',
         '-Wall', '-Wextra', '-Werror', '-fno-asynchronous-unwind-tables']
WANTED = ['memcmp', 'memcpy', 'memmove', 'memset']
TEXT_MAX = 48 * 1024


def run(*command):
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout


def main():
    root = pathlib.Path(sys.argv[1])
    if not shutil.which(CC):
        print(f'1..0 # SKIP no {CC}')
        return 0
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for source in sorted(root.glob('stage2/*.c')) + sorted(root.glob('arch/arm64/*.c')):
            objects.append(f'{folder}/{source.stem}.o')
            run(CC, *FLAGS, '-I', root / 'stage2/include', '-I', root / 'arch/arm64/include', '-c',
                source, '-o', objects[-1])
        run(CC, '-nostdlib', '-r', '-o', f'{folder}/all.o', *objects)
        undefined = sorted(line.split()[-1] for line in run('nm', '-u', f'{folder}/all.o').splitlines())
        sections = [line.split() for line in run('size', '-A', f'{folder}/all.o').splitlines()]
    text = sum(int(section[1]) for section in sections
               if section and section[0].startswith(('.text', '.rodata')))
    results = [(f'wants {" ".join(undefined)}', undefined == WANTED),
               (f'{text} bytes of code and constants, at most {TEXT_MAX}', text <= TEXT_MAX)]
    print(f'1..{len(results)}')
    for number, (name, good) in enumerate(results, 1):
        print(f'{"ok" if good else "not ok"} {number} - {name}')
    return 0 if all(good for _, good in results) else 1


if __name__ == '__main__':
    sys.exit(main())

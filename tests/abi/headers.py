#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Each public header compiles alone, as C and as C++; one kind of address is not another.

headers.py SOURCE_ROOT CXX_OR_EMPTY CC..."""
import os
import pathlib
import subprocess
import sys

WARNINGS = ['-Wall', '-Wextra', '-pedantic', '-Werror', '-Wundef', '-S', '-o', os.devnull]
C = ['-x', 'c', '-std=c11', '-ffreestanding', '-Wstrict-prototypes', '-Wconversion'] + WARNINGS
CXX = ['-x', 'c++', '-std=c++17'] + WARNINGS

MIX = '''#include <stage2/run.h>
s2_gpa_t gpa;
s2_hpa_t hpa;
s2_hva_t hva;
const struct s2_run *find(const struct s2_run *runs);
const struct s2_run *find(const struct s2_run *runs)
{
    return s2_runs_find(runs, 1, %s);
}
'''
IGNORED = '''#include <stage2/run.h>
void ignore(struct s2_range range);
void ignore(struct s2_range range)
{
    s2_range_check(range);
}
'''


def compiles(command, flags, include, text):
    """The compiler's complaint, or None."""
    done = subprocess.run(command + flags + [f'-I{path}' for path in include] + ['-'],
                          input=text, text=True,
                          capture_output=True, check=False)
    return None if done.returncode == 0 else done.stderr or 'failed'


def main():
    root, cxx, cc = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    include = [root / 'stage2/include'] + sorted(root.glob('arch/*/include'))
    headers = [header for path in include for header in sorted(path.glob('stage2/*.h'))]
    results = []

    def expect(name, error, fails=False):
        results.append((name, (error is not None) == fails, error or 'it compiles'))

    for header in headers:
        # Twice: the guard must hold.
        text = f'#include <stage2/{header.name}>\n' * 2 + 'extern int not_empty;\n'
        expect(f'{header.name} alone as C11', compiles(cc, C, include, text))
        if cxx:
            expect(f'{header.name} alone as C++17', compiles([cxx], CXX, include, text))
        else:
            results.append((f'{header.name} alone as C++17 # SKIP no C++ compiler', True, ''))
    expect('a gpa is a gpa', compiles(cc, C, include, MIX % 'gpa'))
    expect('an hpa is no gpa', compiles(cc, C, include, MIX % 'hpa'), fails=True)
    expect('an hva is no gpa', compiles(cc, C, include, MIX % 'hva'), fails=True)
    expect('a number is no gpa', compiles(cc, C, include, MIX % '4096'), fails=True)
    expect('an error cannot be ignored', compiles(cc, C, include, IGNORED), fails=True)
    if not headers:
        results.append(('there are headers', False, str(root)))

    print(f'1..{len(results)}')
    for number, (name, good, why) in enumerate(results, 1):
        print(f'{"ok" if good else "not ok"} {number} - {name}')
        if not good:
            print(''.join(f'# {line}\n' for line in why.splitlines()), end='')
    return 0 if all(good for _, good, _ in results) else 1


if __name__ == '__main__':
    sys.exit(main())

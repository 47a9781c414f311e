#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A library, with those it is made for, wants four functions of its surroundings, and gives names with its prefix only.

symbols.py NM NAME_IN_IT REASON_TO_SKIP_OR_EMPTY LIBRARY..."""
import subprocess
import sys

WANTED = {'memcpy', 'memset', 'memmove', 'memcmp'}
# Position-independent code may name the linker's own table.
LINKER = {'_GLOBAL_OFFSET_TABLE_'}


def main():
    nm, name_in_it, skip = sys.argv[1:4]
    if skip:
        print(f'1..0 # SKIP {skip}')
        return 0
    lines = subprocess.run([nm, *sys.argv[4:]], text=True, capture_output=True, check=True).stdout
    fields = [line.split() for line in lines.splitlines()]
    undefined = {field[-1] for field in fields if len(field) == 2 and field[0] in 'Uw'}
    defined = {field[-1] for field in fields if len(field) == 3 and field[1].isupper()}
    foreign = undefined - defined - WANTED - LINKER
    stray = {name for name in defined if not name.startswith('s2_')}
    print('1..3')
    print(f'{"ok" if name_in_it in defined else "not ok"} 1 - the library was read')
    print(f'{"not ok" if foreign else "ok"} 2 - wants nothing else {" ".join(sorted(foreign))}')
    print(f'{"not ok" if stray else "ok"} 3 - every name has the prefix {" ".join(sorted(stray))}')
    return 1 if foreign or stray or name_in_it not in defined else 0


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who may include whom, and where architectures may not be named.

depends.py SOURCE_ROOT"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
FREESTANDING = {'stddef.h', 'stdint.h', 'stdbool.h', 'limits.h', 'stdalign.h', 'stdatomic.h'}
ARCH_WORD = re.compile(r'arm64|aarch64|riscv|x86|s390|vmid|eptp|hgatp|vttbr', re.IGNORECASE)
ARCH_MACRO = re.compile(r'^\s*#\s*(if|ifdef|ifndef|elif)\b.*\b(__aarch64__|__arm__|__ARM_\w+'
                        r'|__x86_64__|__i386__|__amd64__|__riscv\w*|__s390x?__|__powerpc\w*'
                        r'|__loongarch\w*)')
VMM_ARCHES = {'arm64', 'aarch64', 'x86', 'x86_64', 'riscv', 'riscv64', 's390', 's390x'}


def sources(folder):
    """Every C file below a folder, with the number and the text of its lines."""
    for path in sorted(folder.rglob('*.[chS]')):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            yield path, number, line


def stage2_includes(root):
    """stage2/ includes nothing outside itself and the freestanding headers."""
    root = root.resolve()
    for path, number, line in sources(root / 'stage2'):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, name = match.groups()
        own = kind == '<' and name.startswith('stage2/') \
            and (root / 'stage2/include' / name).is_file()
        target = (path.parent / name).resolve()
        near = kind == '"' and target.is_file() and target.is_relative_to(root / 'stage2')
        if not own and not near and name not in FREESTANDING:
            yield path, number, line


def stage2_words(root):
    """stage2/ names no architecture, but for arch.h."""
    for path, number, line in sources(root / 'stage2'):
        if path.name != 'arch.h' and ARCH_WORD.search(line):
            yield path, number, line


def arch_includes(root):
    """No folder of arch/ includes another, or its headers."""
    arch = root / 'arch'
    names = {path.name for path in arch.iterdir() if path.is_dir()} if arch.is_dir() else set()
    for path, number, line in sources(arch):
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match.group(2)
        others = names - {path.relative_to(arch).parts[0]}
        owners = {header.relative_to(arch).parts[0] for header in arch.glob(f'*/include/{name}')}
        if others & (owners | set(name.split('/')[:-1])):
            yield path, number, line


def uv_includes(root):
    """arch/uv/, but for openssl.c, includes itself, stage2/ and the freestanding headers."""
    folder = root / 'arch/uv'
    for path, number, line in sources(folder):
        match = INCLUDE.match(line)
        if not match or path.name == 'openssl.c':
            continue
        name = match.group(2)
        near = [folder / 'include' / name, root / 'stage2/include' / name, path.parent / name]
        if name not in FREESTANDING and ('..' in name or not any(file.is_file() for file in near)):
            yield path, number, line


def vmm_ifdefs(root):
    """vmm/ asks for the architecture only in the folder of one."""
    for path, number, line in sources(root / 'vmm'):
        if not VMM_ARCHES & set(path.relative_to(root).parts) and ARCH_MACRO.match(line):
            yield path, number, line


def metal_includes(root):
    """metal/ itself names no format; a machine's folder its own only, and no other machine's files."""
    metal = root / 'metal'
    for path, number, line in sources(metal):
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match.group(2)
        folder = path.relative_to(metal).parts[0] if path.parent != metal else None
        owners = {header.relative_to(root / 'arch').parts[0]
                  for header in (root / 'arch').glob(f'*/include/{name}')}
        near = name in {'../metal.h', '../machine.h', '../guest.h'} if folder else False
        if owners - ({folder, 'uv'} if folder else set()) or ('..' in name and not near):
            yield path, number, line


RULES = [stage2_includes, stage2_words, arch_includes, uv_includes, vmm_ifdefs, metal_includes]


def main():
    root = pathlib.Path(sys.argv[1])
    failed = False
    print(f'1..{len(RULES)}')
    for number, rule in enumerate(RULES, 1):
        found = list(rule(root))
        failed = failed or bool(found)
        print(f'{"not ok" if found else "ok"} {number} - {rule.__doc__}')
        for path, line_number, line in found:
            print(f'# {path.relative_to(root)}:{line_number}: {line.strip()}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

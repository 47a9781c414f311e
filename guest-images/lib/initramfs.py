# SPDX-License-Identifier: BSD-2-Clause
"""Initramfs archives: newc cpio, not compressed, since unpacking would be emulated too."""

import os
import stat

from common import EXIT_NO_INPUT, EXIT_USAGE, Failure, describe


class Archive:
    """A cpio archive in memory. Folders on the way to a file are made as needed."""

    def __init__(self):
        self.parts = []
        self.inode = 0
        self.folders = set()

    def _add(self, path, mode, data=b'', device=(0, 0)):
        name = path.lstrip('/').encode() + b'\0'
        self.inode += 1
        header = b'070701' + b''.join(b'%08x' % field for field in (
            self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0))
        self.parts += [header, name, padding(len(header) + len(name)), data, padding(len(data))]

    def folder(self, path, mode=0o755):
        path = os.path.normpath('/' + path)
        if path not in self.folders and path not in ('/', '//'):
            self.folder(os.path.dirname(path))
            self.folders.add(path)
            self._add(path, stat.S_IFDIR | mode)

    def file(self, path, data, mode=0o644):
        self.folder(os.path.dirname(path))
        self._add(path, stat.S_IFREG | mode, data)

    def link(self, path, target):
        self.folder(os.path.dirname(path))
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path, major, minor):
        """A character device, for the console that the kernel opens before /init runs."""
        self.folder(os.path.dirname(path))
        self._add(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def write_to(self, file):
        """Append the archive to a file. The kernel takes several archives one after another."""
        end = Archive()
        end._add('TRAILER!!!', 0)
        for part in self.parts + end.parts:
            file.write(part)


def padding(length):
    return b'\0' * (-length % 4)


def busybox_root(busybox, init):
    """The root of a board: busybox, an init script and the folders that it mounts things on."""
    archive = Archive()
    for path in ('/bin', '/dev', '/proc', '/sys', '/root', '/run', '/etc'):
        archive.folder(path)
    archive.folder('/tmp', 0o1777)
    archive.device('/dev/console', 5, 1)
    archive.file('/bin/busybox', read(busybox), 0o755)
    archive.link('/bin/sh', 'busybox')
    archive.file('/etc/passwd', b'root:x:0:0:root:/root:/bin/sh\n')
    archive.file('/etc/group', b'root:x:0:\n')
    archive.file('/init', init, 0o755)
    return archive


def parse_file(spec):
    """SRC[:DEST] as (source, path in the archive). A source that exists may have colons."""
    source, colon, dest = spec.rpartition(':')
    if not colon or os.path.exists(spec):
        source, dest = spec, ''
    if not source:
        raise Failure(EXIT_USAGE, f'--file {spec}: no source; it must be SRC or SRC:DEST')
    dest = '/' + dest.lstrip('/')
    if dest.endswith('/'):
        dest += os.path.basename(source)
    return source, os.path.normpath(dest)


def add_files(archive, files):
    """Put (source, path) pairs into an archive, their modes kept."""
    for source, dest in files:
        data = read(source)
        archive.file(dest, data, stat.S_IMODE(os.stat(source).st_mode))


def read(path):
    try:
        with open(path, 'rb') as file:
            return file.read()
    except OSError as error:
        raise Failure(EXIT_NO_INPUT, f'cannot read {describe(error)}') from None

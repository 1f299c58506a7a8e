"""Folders of a local disk, opened so that no symbolic link can lead out of the root.

Where the system has folder descriptors (Linux, macOS), each component of a path is opened relative to the
folder before it and never through a link, so that nobody can swap a folder for a link between our look and our
use. Elsewhere (Windows) each component is looked at just before it is used, which leaves that gap.
"""

import errno
import os
import stat
import sys
from collections import OrderedDict
from contextlib import suppress
from types import TracebackType
from typing import Self

from nightferry.core.errors import Misconfigured, NoSpace, Unreachable
from nightferry.disk.errors import NOT_ALLOWED, error_of
from nightferry.disk.folders import FOLDER_FLAGS, NO_FOLLOW, Folder, is_link, open_folder
from nightferry.stores.paths import path_refusal, windows_refusal

_OPEN_AT_ONCE = 16


class Folders:
    """The folders below one root that one call of a store works in; a context that closes them.

    Not for several threads. A folder stays open while it is among the last 16 that were asked for, so hold on to
    its path rather than to the folder. ``touched`` gathers the paths of folders whose names changed.
    """

    def __init__(self, root: str, label: str) -> None:
        self.root, self.label = root, label
        self.touched: dict[str, None] = {}
        self._open: OrderedDict[str, Folder] = OrderedDict()

    def __enter__(self) -> Self:
        """Open nothing yet: the root is opened with the first folder."""
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        """Close all folders."""
        while self._open:
            self._open.popitem()[1].close()

    def open(self, path: str) -> Folder:
        """Open the folder of that path, ``""`` for the root.

        Raises `Misconfigured` for a root that is not there and OSError for any other folder: ENOENT when it is
        missing, ENOTDIR or ELOOP when a file or a link stands in its place.
        """
        return self._reach(path, make=False)

    def make(self, path: str) -> Folder:
        """Open the folder of that path, made if need be; the folders that this changes are noted as touched."""
        return self._reach(path, make=True)

    def _reach(self, path: str, *, make: bool) -> Folder:
        names = path.split("/") if path else []
        depth = len(names)
        while depth and "/".join(names[:depth]) not in self._open:
            depth -= 1
        here = "/".join(names[:depth])
        folder = self._open.get(here) or self._keep("", self._open_root())
        self._open.move_to_end(here)
        for name in names[depth:]:
            parent, here = here, f"{here}/{name}" if here else name
            try:
                below = self._step(folder, name)
            except FileNotFoundError:
                if not make:
                    raise
                _make(folder, name)
                self.touched[parent] = None
                below = self._step(folder, name)
            folder = self._keep(here, below)
        return folder

    def _keep(self, path: str, folder: Folder) -> Folder:
        self._open[path] = folder
        if len(self._open) > _OPEN_AT_ONCE:
            self._open.popitem(last=False)[1].close()
        return folder

    def _step(self, folder: Folder, name: str) -> Folder:
        path = os.path.join(folder.path, name)  # noqa: PTH118 - see Folder.at
        if folder.fd is not None:
            return Folder(path, os.open(name, FOLDER_FLAGS | NO_FOLLOW, dir_fd=folder.fd))
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode) or is_link(status):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return Folder(path, None)

    def _open_root(self) -> Folder:
        """Open the root, through links if the configuration names one.

        A root that is missing is never made here: it is rather a disk that was not mounted than a folder that
        nobody made yet, and what was written into its place would be lost from sight at the next mount.
        """
        try:
            return open_folder(self.root)
        except (FileNotFoundError, NotADirectoryError) as err:
            raise Misconfigured(
                f"{self.label}: there is no folder {self.root}. Is its disk mounted, and is the path right?"
            ) from err
        except OSError as err:
            if err.errno in NOT_ALLOWED:
                raise Misconfigured(f"{self.label}: may not open {self.root}: {err.strerror}. Mend the rights") from err
            trouble = error_of(err, f"{self.label}: cannot open {self.root}")
            if isinstance(trouble, Misconfigured | NoSpace):
                raise trouble from err
            raise Unreachable(str(trouble)) from err  # an I/O error of the root is one of all that lies below


def refusal(path: str) -> str:
    """Say why this machine's disks must not be asked for a path; empty when they may."""
    reason = path_refusal(path)
    if not reason and sys.platform == "win32":
        reason = next(filter(None, map(windows_refusal, path.split("/"))), "")
    return reason


def _make(folder: Folder, name: str) -> None:
    with suppress(FileExistsError):  # another writer was first
        os.mkdir(folder.at(name), dir_fd=folder.fd)

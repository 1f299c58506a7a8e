"""Where a ledger's database may stand: on a local disk, in a file of its owner's own.

SQLite's write-ahead log needs memory shared between processes, which network file systems do not give; a ledger
there may be torn by the second machine that opens it (https://www.sqlite.org/wal.html, "Overview").
"""

import contextlib
import errno
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

from nightferry.core.errors import Misconfigured, NoSpace

#: Names that Linux and macOS give to file systems whose files are on another machine.
NETWORK = frozenset({
    "9p", "acfs", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gpfs", "glusterfs", "lustre", "ncpfs",
    "nfs", "nfs4", "orangefs", "smb2", "smb3", "smbfs", "vboxsf", "webdav",
})  # fmt: skip
#: FUSE names its kind after a dot; these keep the files on another machine, others (encfs, ntfs) do not.
NETWORK_FUSE = frozenset({
    "ceph", "curlftpfs", "davfs2", "gcsfuse", "glusterfs", "goofys", "gvfsd-fuse", "juicefs", "moosefs", "rclone",
    "s3fs", "smbnetfs", "sshfs",
})  # fmt: skip
_DRIVE_REMOTE = 4  # Windows: GetDriveTypeW
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})  # Windows has no quota error
_NO_FOLDER_SYNC = frozenset(
    {errno.EINVAL, getattr(errno, "ENOTSUP", errno.EINVAL)}
)  # some FUSE file systems sync files only
_OCTAL = re.compile(r"\\([0-7]{3})")


def prepare_file(path: Path) -> None:
    """Make sure that the database's file exists, readable by its owner only, in a folder on a local disk.

    Raises `Misconfigured` when it can not stand there, `NoSpace` when the disk is full.
    """
    refuse_network(path)
    try:
        path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE))
            _sync_folder(path.parent)
    except OSError as err:
        if err.errno in _FULL:
            raise NoSpace(f"cannot create the ledger {path}: {err.strerror}; make room there") from err
        raise Misconfigured(
            f"cannot create the ledger {path}: {err.strerror or err}; make that folder writable, or set [ledger] url "
            "to a file in another one"
        ) from err


def refuse_network(path: Path) -> None:
    """Raise `Misconfigured` when the path is on a file system that other machines serve."""
    kind = network_kind(path)
    if kind:
        raise Misconfigured(
            f"the ledger {path} would stand on a network file system ({kind}), where SQLite can lose data; set "
            "[ledger] url to a file on a local disk"
        )


def network_kind(path: Path) -> str:
    """Name the network file system that a path is on; empty when it is local, or nobody can tell."""
    if sys.platform == "win32":
        return _windows_kind(path)
    kind = kind_in(_mounts(), PurePosixPath(os.path.realpath(path)))
    family, _, rest = kind.partition(".")
    if family in {"fuse", "macfuse", "osxfuse"} and rest:
        return kind if rest in NETWORK_FUSE else ""
    return kind if kind in NETWORK else ""


def kind_in(mounts: list[tuple[PurePosixPath, str]], path: PurePosixPath) -> str:
    """Tell the kind of file system a path is on: of its deepest mount, and of equal ones the last made."""
    best: tuple[int, str] = (-1, "")
    for mount, kind in mounts:
        if path.is_relative_to(mount) and len(mount.parts) >= best[0]:
            best = (len(mount.parts), kind)
    return best[1]


def read_mountinfo(text: str) -> list[tuple[PurePosixPath, str]]:
    """Read Linux' ``/proc/self/mountinfo`` (proc(5)): mount points, blanks as octal escapes, and their kinds."""
    mounts = []
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if dash and len(fields) > 4:  # noqa: PLR2004 - the fifth field is the mount point
            point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4])
            mounts.append((PurePosixPath(point), kinds[0]))
    return mounts


def read_mount_output(text: str) -> list[tuple[PurePosixPath, str]]:
    """Read what macOS' ``mount`` prints: ``//me@nas/data on /Volumes/data (smbfs, nodev, nosuid)``."""
    found = re.finditer(r"^.*? on (/.*) \(([^,()]+)[^()]*\)$", text, re.MULTILINE)
    return [(PurePosixPath(match[1]), match[2]) for match in found]


def _mounts() -> list[tuple[PurePosixPath, str]]:
    if sys.platform == "darwin":
        try:
            shown = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return []
        return read_mount_output(shown.stdout)
    try:
        return read_mountinfo(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:  # another Unix, or no /proc: nobody can tell
        return []


def _windows_kind(path: Path) -> str:
    """Tell whether a Windows path is on a share: by its name, or by what Windows says of its drive."""
    drive = path.absolute().drive
    if drive.startswith("\\\\"):
        return f"the share {drive}"
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415 - its `windll` exists on Windows only

        if ctypes.windll.kernel32.GetDriveTypeW(f"{drive}\\") == _DRIVE_REMOTE:
            return f"the network drive {drive}"
    return ""


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable, where the system lets one open folders."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as err:
        if err.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)

"""Mounts: what is mounted where, and of which kind, as each system says it."""

import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

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
#: Where Linux shows all mounts (proc(5)).
_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")
_DRIVE_REMOTE = 4  # Windows: GetDriveTypeW

Mounts = list[tuple[PurePosixPath, str]]


def is_mounted(point: Path) -> bool:
    """Whether something is mounted there; asking may well mount it, where an automounter is at work."""
    try:
        if os.path.ismount(point):
            return True
        real = PurePosixPath(os.path.realpath(point))
    except OSError:  # a dead share: mounted, and of no use
        return False
    # a folder of the same disk that is mounted elsewhere shows only in Linux' list
    return sys.platform == "linux" and any(mount == real for mount, _ in mounts())


def network_kind(path: Path) -> str:
    """Return the kind of the network file system that a path is on; empty when it is local, or nobody can tell."""
    if sys.platform == "win32":
        return windows_kind(path)
    kind = kind_in(mounts(), PurePosixPath(os.path.realpath(path)))
    family, _, rest = kind.partition(".")
    if family in {"fuse", "macfuse", "osxfuse"} and rest:
        return kind if rest in NETWORK_FUSE else ""
    return kind if kind in NETWORK else ""


def kind_in(found: Mounts, path: PurePosixPath) -> str:
    """Return the kind of file system a path is on: of its deepest mount, and of equal ones the last made."""
    best: tuple[int, str] = (-1, "")
    for mount, kind in found:
        if path.is_relative_to(mount) and len(mount.parts) >= best[0]:
            best = (len(mount.parts), kind)
    return best[1]


def mounts() -> Mounts:
    """Return all mount points with their kinds, in the order they were made; empty where nobody can tell."""
    if sys.platform == "darwin":
        try:
            shown = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return []
        return read_mount_output(shown.stdout)
    try:
        return read_mountinfo(_MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:  # another Unix, or no /proc
        return []


def read_mountinfo(text: str) -> Mounts:
    """Parse Linux' ``/proc/self/mountinfo`` (proc(5)): mount points, blanks as octal escapes, and their kinds."""
    found = []
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if dash and len(fields) > 4:  # noqa: PLR2004 - the fifth field is the mount point
            point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4])
            found.append((PurePosixPath(point), kinds[0]))
    return found


def read_mount_output(text: str) -> Mounts:
    """Parse what macOS' ``mount`` prints: ``//me@nas/data on /Volumes/data (smbfs, nodev, nosuid)``."""
    found = re.finditer(r"^.*? on (/.*) \(([^,()]+)[^()]*\)$", text, re.MULTILINE)
    return [(PurePosixPath(match[1]), match[2]) for match in found]


def windows_kind(path: Path) -> str:
    """Return what share or network drive a Windows path is on, by its name or by what Windows says; empty for none."""
    drive = path.absolute().drive
    if drive.startswith("\\\\"):
        return f"the share {drive}"
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415 - its `windll` exists on Windows only

        if ctypes.windll.kernel32.GetDriveTypeW(f"{drive}\\") == _DRIVE_REMOTE:
            return f"the network drive {drive}"
    return ""

"""Where a ledger's file may stand."""

import errno
import os
from pathlib import Path, PurePosixPath

import pytest

from nightferry.core.errors import Misconfigured, NoSpace
from nightferry.disk import mounts
from nightferry.ledger import place

MOUNTINFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 0:40 / /mnt/nas rw,relatime shared:7 - nfs4 nas:/export rw,vers=4.2
41 27 0:41 / /mnt/My\\040Share rw,relatime - cifs //nas/share rw
42 27 0:42 / /home/me/far rw,nosuid - fuse.sshfs me@far:/ rw
43 27 0:43 / /home/me/secret rw,nosuid - fuse.encfs encfs rw
44 40 254:1 / /mnt/nas/local rw - xfs /dev/vdb rw
a line that is none
"""
MOUNT_OUTPUT = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//me@nas/data on /Volumes/My data (smbfs, nodev, nosuid, mounted by me)
nas:/export on /Volumes/export (nfs)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
"""


def mounted_as(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(mounts, "mounts", lambda: [(PurePosixPath("/"), kind)])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/ledger.db", "ext4"),
        ("/mnt/nas/ledger.db", "nfs4"),
        ("/mnt/nasty/ledger.db", "ext4"),
        ("/mnt/My Share/ledger.db", "cifs"),
        ("/home/me/far/away/ledger.db", "fuse.sshfs"),
        ("/mnt/nas/local/ledger.db", "xfs"),
    ],
)
def test_file_system_of_a_path_is_its_deepest_mount_on_linux(path: str, kind: str) -> None:
    assert mounts.kind_in(mounts.read_mountinfo(MOUNTINFO), PurePosixPath(path)) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/Users/me/l.db", "apfs"), ("/Volumes/My data/l.db", "smbfs"), ("/Volumes/export/l.db", "nfs")],
)
def test_file_system_of_a_path_is_read_from_what_mount_prints_on_macos(path: str, kind: str) -> None:
    assert mounts.kind_in(mounts.read_mount_output(MOUNT_OUTPUT), PurePosixPath(path)) == kind


def test_later_mount_hides_the_earlier_one_of_the_same_place() -> None:
    here = PurePosixPath("/data")
    assert mounts.kind_in([(here, "ext4"), (here, "nfs")], here / "l.db") == "nfs"


@pytest.mark.parametrize("kind", ["nfs", "cifs", "fuse.sshfs", "fuse.rclone", "smbfs"])
def test_network_file_system_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted_as(monkeypatch, kind)
    with pytest.raises(Misconfigured, match=f"network file system \\({kind}\\).*local disk"):
        place.prepare_file(tmp_path / "new" / "ledger.db")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["ext4", "apfs", "tmpfs", "fuse.encfs", "fuseblk", "overlay", ""])
def test_local_file_system_is_taken(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted_as(monkeypatch, kind)
    place.prepare_file(tmp_path / "ledger.db")
    assert (tmp_path / "ledger.db").exists()


def test_share_of_windows_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Share:
        def absolute(self) -> "Share":
            return self

        drive = r"\\nas\share"

    assert mounts.windows_kind(Share()) == r"the share \\nas\share"  # type: ignore[arg-type]


def test_this_machine_names_the_kind_of_the_folder_tests_run_in(tmp_path: Path) -> None:
    assert mounts.network_kind(tmp_path) == ""


def test_file_is_made_for_its_owner_only_and_its_folders_too(tmp_path: Path) -> None:
    path = tmp_path / "data" / "nightferry" / "ledger.db"
    place.prepare_file(path)
    assert path.read_bytes() == b""
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_file_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"data")
    before = path.stat()
    place.prepare_file(path)
    assert (path.read_bytes(), path.stat().st_mode) == (b"data", before.st_mode)


def test_folder_that_cannot_be_made_is_the_operators_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Misconfigured, match=r"cannot create the ledger .* set \[ledger\] url"):
        place.prepare_file(tmp_path / "file" / "ledger.db")


def test_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(NoSpace, match="make room"):
        place.prepare_file(tmp_path / "ledger.db")

"""A disk that fills up half-way through a cube, or a frame from one: nothing of it is left there."""

import json
import subprocess
import sys
from pathlib import Path

from nightferry.steps.cube import CubeSettings, Input, make_cubes, plan_cubes
from tests.astra import astra_frame

# Works on a disk of 512 KiB made for this process alone, where the system lets us make one (root, or a user namespace);
# elsewhere no file of this process may grow beyond 256 KiB. Prints what came of it, and what stands on the disk.
SMALL_DISK = """
import ctypes, json, os, sys
from pathlib import Path
from nightferry.core.errors import NightferryError
from nightferry.steps.cube import CubeSettings, Input, make_cubes, plan_cubes, split_file

root, files, cube = Path(sys.argv[1]), sorted(Path(sys.argv[2]).glob("*.fits")), Path(sys.argv[3])
NEWNS, NEWUSER, PRIVATE = 0x20000, 0x10000000, 0x40000 | 0x4000

def small_disk():
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(NEWNS | (0 if user == 0 else NEWUSER)) != 0:
        return False
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    return libc.mount(b"none", b"/", None, PRIVATE, None) == 0 and (
        libc.mount(b"tmpfs", os.fsencode(root), b"tmpfs", 0, b"size=512k") == 0
    )

def there():
    return sorted(path.name for path in root.iterdir())

disk = small_disk()
if not disk:
    import resource, signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
settings = CubeSettings()
told = [str(type(made.error).__name__) for made in make_cubes(plan_cubes(map(Input, files), settings), root, settings)]
cubes = there()
small = [made.file for made in make_cubes(plan_cubes(map(Input, files[:2]), settings), root, settings)]
split = ""
try:
    list(split_file(cube, root))
except NightferryError as err:
    split = type(err).__name__
print(json.dumps([disk, told, cubes, [file and file.name for file in small], split, there()]))
"""

if sys.platform != "win32":

    def test_a_disk_that_is_full_half_way_holds_nothing_by_halves(tmp_path: Path) -> None:
        for name in ("raw", "made", "disk"):
            (tmp_path / name).mkdir()
        for number in range(8):
            (tmp_path / f"raw/{number}.fits").write_bytes(astra_frame("light", number=number, size=(256, 192)))
        settings = CubeSettings(durable=False)
        plan = plan_cubes([Input(file) for file in sorted((tmp_path / "raw").iterdir())], settings)
        (made,) = make_cubes(plan, tmp_path / "made", settings)
        done = subprocess.run(
            [sys.executable, "-c", SMALL_DISK, tmp_path / "disk", tmp_path / "raw", str(made.file)],
            capture_output=True, check=False, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        disk, told, cubes, small, split, left = json.loads(done.stdout)
        assert (told, cubes) == (["NoSpace"], [])
        assert len(small) == 1
        assert not [name for name in left if name.endswith(".part")]
        assert small[0] in left  # what has room is made all the same
        frames = [name for name in left if name != small[0]]
        if disk:
            assert split == "NoSpace"
            assert len(frames) == 2  # two of 106 kB find room beside the cube of two; the third does not
        else:
            assert (split, len(frames)) == ("", 8)

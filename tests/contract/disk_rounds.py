"""Runs writers again and again, each time with another fault, and judges what stands there then.

``python -m tests.contract.disk_rounds FOLDER DISK POINTS [WRITER...]`` prints a JSON object for each writer: how many
rounds of which kind there were, and what was wrong. DISK is ``whole``, ``linkless`` or ``plain``; POINTS how many of a
writer's calls are tried, 0 for all of them with all errors. Each round is a fork of this process.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.contract import disk_faults

disk_faults.install()

from nightferry.core.errors import NightferryError  # noqa: E402 - what is counted has to be there before
from nightferry.core.names import is_part  # noqa: E402
from tests.contract.disk_faults import CALLS, FOREIGN, Plan, files_below  # noqa: E402
from tests.contract.disk_writers import WRITERS, Writer, prepare  # noqa: E402

#: A file of another program, whatever its name says.
BYSTANDER = "nightferry.fits.part"
DISKS = {"whole": (True, True), "linkless": (False, True), "plain": (False, False)}
CODES = tuple(getattr(errno, name) for name in ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EINTR") if hasattr(errno, name))


class Rounds:
    """The rounds of one writer on one disk."""

    def __init__(self, writer: Writer, folder: Path, given: Path, disk: str) -> None:
        self.writer, self.folder, self.given = writer, folder, given
        self.links, self.renames = DISKS[disk]
        self.number = 0
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        out = self._fresh()
        told = self._run(out, self._plan("count"))
        assert told is not None
        if told["error"]:
            self.wrong.append(f"without any fault: {told['error']}")
        self.finals = self._found(out)
        self.calls = int(str(told["calls"]))
        self.wrong += [f"without any fault: {text}" for text in told["wrong"]]  # type: ignore[attr-defined]

    def all(self, most: int) -> None:
        """Kill, fail and plant at that many calls spread over all of them, the last among them; or at every one."""
        long = not most
        count = min(most or self.calls, self.calls)
        for at in (self.calls - number * self.calls // count for number in range(count)):
            self._killed(at)
            codes = CODES if long else CODES[at % len(CODES) :][:1]
            for code in codes:
                self._failing(at, code, ever=False)
            for code in CODES[:-1] if long else (errno.EROFS,) if at % 3 == 0 else ():  # all but EINTR: a moment's
                self._failing(at, code, ever=True)
            if not self.writer.replaces:
                for final in sorted(self.finals) if long else sorted(self.finals)[:1]:
                    self._planted(at, final)

    def _plan(self, kind: str, at: int = 0, code: int = 0, *, ever: bool = False, plant: str = "") -> Plan:
        return Plan(kind, at, code, ever, plant, self.links, self.renames)

    def _killed(self, at: int) -> None:
        out = self._fresh()
        if self._run(out, self._plan("kill", at)) is not None:
            self.wrong.append(f"kill at {at}: the process ended by itself")
        self._judge(out, f"killed at {at}")
        self._again(out, f"killed at {at}")
        self.counts["kills"] += 1

    def _failing(self, at: int, code: int, *, ever: bool) -> None:
        out = self._fresh()
        told = self._run(out, self._plan("fail", at, code, ever=ever))
        what = f"{errno.errorcode[code]} at {at}{' and after' if ever else ''}"
        if told is None:
            self.wrong.append(f"{what}: the process died")
            return
        what += f" ({told['hit']})"
        self.wrong += [f"{what}: {text}" for text in told["wrong"]]  # type: ignore[attr-defined]
        if told["bug"]:
            self.wrong.append(f"{what}: {told['bug']}")
        self._judge(out, what)
        if not told["error"]:
            there = files_below(out)
            if missing := [path for path, data in self.finals.items() if there.get(path) != data]:
                self.wrong.append(f"{what}: said that all was well, without {missing}")
        self._again(out, what)
        self.counts["failures"] += 1

    def _planted(self, at: int, final: str) -> None:
        out = self._fresh()
        told = self._run(out, self._plan("plant", at, plant=str(out / final)))
        if told is None or told["bug"]:
            self.wrong.append(f"another's file made before call {at}: {told}")
        elif told["planted"]:
            there = files_below(out)
            if there.get(final) != FOREIGN:
                self.wrong.append(f"another's {final}, made before call {at} ({told['hit']}), was replaced")
            if empty := [path for path, data in there.items() if not data and path != final]:
                self.wrong.append(f"another's {final}, made before call {at}: {empty} are empty")
            self.counts["plants"] += 1

    def _fresh(self) -> Path:
        self.number += 1
        out = self.folder / f"{self.number}"
        out.mkdir()
        for path, data in self.writer.before.items():
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(data)
        (out / BYSTANDER).write_bytes(FOREIGN)
        return out

    def _judge(self, out: Path, what: str) -> None:
        """Nothing torn or empty under a final name, nothing of others touched, and all else known as unfinished."""
        there = files_below(out)
        if there.pop(BYSTANDER, None) != FOREIGN:
            self.wrong.append(f"{what}: a file of another program was touched")
        for path, data in there.items():
            if path in self.finals:
                if data not in {self.finals[path], self.writer.before.get(path)}:
                    self.wrong.append(f"{what}: {path} is torn: {len(data)} of {len(self.finals[path])} bytes")
            elif path in self.writer.before:
                if data != self.writer.before[path]:
                    self.wrong.append(f"{what}: {path} was changed")
            elif not is_part(path.rpartition("/")[2]) and not self.writer.is_part(path):
                self.wrong.append(f"{what}: {path} is left, and nobody knows it as unfinished")

    def _again(self, out: Path, what: str) -> None:
        told = self._run(out, self._plan("count"))
        if told is None or told["error"]:
            self.wrong.append(f"{what}: and a rerun failed: {told}")
            return
        there = self._found(out)
        if there != self.finals:
            torn = [path for path, data in self.finals.items() if there.get(path) != data]
            self.wrong.append(
                f"{what}: after a rerun {sorted(there.keys() - self.finals.keys())} are left, {torn} wrong"
            )
        shutil.rmtree(out)

    def _found(self, out: Path) -> dict[str, bytes]:
        """Return what was written, and what stood there before it."""
        there = files_below(out)
        del there[BYSTANDER]
        return {path: data for path, data in there.items() if not self.writer.may_stay(path)}

    def _run(self, out: Path, plan: Plan) -> dict[str, object] | None:
        """Write in a process of its own, and return what it told; None when it was killed."""
        ear, mouth = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ear)
            told = json.dumps(_written(self.writer, out, self.given, plan)).encode()
            os.write(mouth, told)
            os._exit(0)
        os.close(mouth)
        with os.fdopen(ear, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return None
        found: dict[str, object] = json.loads(told)
        return found


def _written(writer: Writer, out: Path, given: Path, plan: Plan) -> dict[str, object]:
    error = bug = ""
    CALLS.arm(plan)
    try:
        writer.write(out, given)
    except NightferryError as err:
        error = f"{type(err).__name__}: {err}"
    except OSError as err:  # some leave it to their callers to say what it was about
        error = f"{type(err).__name__}: {err}"
        if writer.name not in _RAW:
            bug = traceback.format_exc()
    except BaseException:  # noqa: BLE001 - said where it is judged
        error = bug = traceback.format_exc()
    CALLS.plan = None
    wrong = list(CALLS.wrong)
    if not error and plan.kind == "count":
        wrong += _not_on_the_disk(out)
    return {
        "calls": len(CALLS.made),
        "error": error,
        "bug": bug,
        "hit": CALLS.hit,
        "planted": CALLS.planted,
        "wrong": wrong,
    }


def _not_on_the_disk(out: Path) -> Iterator[str]:
    """Tell what a power cut would take although the writer had ended well."""
    for path in [out, *out.rglob("*")]:
        status = path.stat()
        identity = (status.st_dev, status.st_ino)
        if not path.name.endswith((".part", ".lock")) and identity in CALLS.unsynced:
            yield f"the bytes of {path.relative_to(out)} are not on the disk"
        if identity in CALLS.folders:
            yield f"{CALLS.folders[identity]} is not on the disk"


#: Those whose callers turn errors of the disk into ours.
_RAW = {"solve into", "solve write"}


def main() -> None:
    """Run the rounds that the arguments name."""
    folder, disk, points, *names = sys.argv[1:]
    given = Path(folder) / "given"
    prepare(given)
    for number, writer in enumerate(WRITERS):
        if names and writer.name not in names:
            continue
        place = Path(folder) / f"{number}"
        place.mkdir()
        rounds = Rounds(writer, place, given, disk)
        rounds.all(int(points))
        told = {"writer": writer.name, "calls": rounds.calls, "counts": rounds.counts, "wrong": rounds.wrong}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Every writer killed, failed and met by another program at its calls of the disk, on disks of each kind.

Afterwards nothing torn or empty stands under a final name, nothing of others was replaced, what is left is known as
unfinished, and a rerun ends well and takes it away. While nothing fails, bytes are on the disk before they have their
name, and names before the writer says that it is done.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: On Linux a disk in memory.
MEMORY = Path("/dev/shm")  # noqa: S108 - nothing is trusted there

if sys.platform == "linux":

    @pytest.mark.parametrize("disk", ["whole", "linkless", "plain"])
    def test_no_writer_leaves_anything_torn_empty_foreign_or_for_ever(
        tmp_path: Path, disk: str, rounds: Callable[[int, int], int], record_property: Callable[[str, object], None]
    ) -> None:
        """``linkless`` has no hard links, ``plain`` no rename that replaces nothing either (exFAT on macOS)."""
        memory = MEMORY if MEMORY.is_dir() else tmp_path
        places = [memory if disk == "plain" else tmp_path, tmp_path if disk == "plain" else memory]
        counts: Counter[str] = Counter()
        wrong: list[str] = []
        for place in places[: rounds(1, 2)]:
            for told in tell(place, disk, rounds(3, 0)):
                counts.update(told["counts"], writers=1)
                wrong += [f"{told['writer']} in {place}: {text}" for text in told["wrong"]]
        assert not wrong, "\n".join(wrong)
        assert counts["writers"] >= 21
        assert min(counts["kills"], counts["failures"]) >= 2 * counts["writers"]
        assert counts["plants"] > 8
        record_property(
            "figure",
            f"{counts['writers']} writers on a {disk} disk: {counts['kills']} kills, {counts['failures']} failures, "
            f"{counts['plants']} files made by others meanwhile: nothing torn, empty or replaced",
        )

    def tell(place: Path, disk: str, points: int) -> list[dict[str, dict[str, int]]]:
        """Run the rounds in a process of their own, which forks once a round."""
        with tempfile.TemporaryDirectory(dir=place) as folder:
            ran = subprocess.run(
                [sys.executable, "-m", "tests.contract.disk_rounds", folder, disk, f"{points}"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

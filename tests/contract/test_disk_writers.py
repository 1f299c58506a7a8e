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
    @pytest.mark.parametrize("place", ["own", "memory"])
    def test_no_writer_leaves_anything_torn_empty_foreign_or_for_ever(
        tmp_path: Path,
        disk: str,
        place: str,
        rounds: Callable[[int, int], int],
        record_property: Callable[[str, object], None],
    ) -> None:
        """``linkless`` has no hard links, ``plain`` no rename that replaces nothing either (exFAT on macOS)."""
        points = rounds({("own", "whole"): 3, ("memory", "plain"): 4}.get((place, disk), 1), 0)
        with tempfile.TemporaryDirectory(dir=MEMORY if place == "memory" and MEMORY.is_dir() else tmp_path) as folder:
            ran = subprocess.run(
                [sys.executable, "-m", "tests.contract.disk_rounds", folder, disk, f"{points}"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
        assert ran.returncode == 0, ran.stderr
        counts: Counter[str] = Counter()
        wrong: list[str] = []
        writers = [json.loads(line) for line in ran.stdout.splitlines()]
        for told in writers:
            counts.update(told["counts"])
            wrong += [f"{told['writer']}: {text}" for text in told["wrong"]]
        assert not wrong, "\n".join(wrong)
        assert len(writers) >= 21
        assert min(counts["kills"], counts["failures"]) >= len(writers)
        assert counts["plants"]
        figure = f"{len(writers)} writers on a {disk} disk ({place}): {counts['kills']} kills, {counts['failures']}"
        record_property("figure", f"{figure} failures, {counts['plants']} files of others: nothing torn or replaced")

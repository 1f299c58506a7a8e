"""Other people's judges of FITS files: NASA's fitsverify, and astropy's fitscheck."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.servers.programs import unpacked

_TOLD = re.compile(r"Verification found (\d+) warning\(s\) and (\d+) error\(s\)")


def fitsverify_program() -> Path:
    """Find fitsverify, installed or where ``scripts/fitsverify.sh`` put it."""
    found = shutil.which("fitsverify")
    if found is not None:
        return Path(found)
    program = unpacked("fitsverify") / "bin/fitsverify"
    if not program.is_file():
        raise FileNotFoundError("fitsverify is not here; run scripts/test (or scripts/fitsverify.sh), which gets it")
    return program


def complaints_of_fitsverify(files: Sequence[Path]) -> list[str]:
    """Have fitsverify judge files; tell the reports on those with any warning or error."""
    program, complaints = fitsverify_program(), []
    for file in files:
        answer = subprocess.run([str(program), "-l", str(file.absolute())], capture_output=True, check=False)
        report = (answer.stdout + answer.stderr).decode("latin-1")
        told = _TOLD.search(report)
        if told is None or told.groups() != ("0", "0") or answer.returncode:
            complaints.append(report)
    return complaints


def complaints_of_fitscheck(files: Sequence[Path]) -> list[str]:
    """Have fitscheck compare the sums of files, all of which must have some; tell what it says of the others."""
    program = Path(sys.executable).with_name("fitscheck")
    complaints = []
    for start in range(0, len(files), 100):
        words = [str(program), *(str(file) for file in files[start : start + 100])]
        answer = subprocess.run(words, capture_output=True, check=False, text=True)
        if answer.returncode:
            complaints.append(answer.stdout + answer.stderr)
    return complaints

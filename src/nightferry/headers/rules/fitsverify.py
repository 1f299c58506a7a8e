"""The gate of NASA's fitsverify, where it is installed.

It writes errors to stderr and warnings to stdout, and its exit code counts both; so both streams are read.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from nightferry.headers.canonical import Finding, Severity

_LINE = re.compile(r"\*\*\* (Error|Warning):\s*(.*)")
_SECONDS = 120


def fitsverify(path: Path) -> Iterator[Finding]:
    """Have fitsverify judge a file; one piece of information where it is not installed."""
    program = shutil.which("fitsverify")
    if program is None:
        yield Finding("V62", Severity.INFO, "", "fitsverify is not installed", "fitsverify, as an additional check")
        return
    try:
        answer = subprocess.run(  # noqa: S603 - the program found above, and a path that cannot be an option
            [program, "-l", str(path.absolute())], capture_output=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        yield Finding("V62", Severity.WARNING, "", f"fitsverify did not answer: {err}", "its judgement")
        return
    told = 0
    for match in _LINE.finditer((answer.stderr + b"\n" + answer.stdout).decode("latin-1")):
        told += 1
        severity = Severity.ERROR if match[1] == "Error" else Severity.WARNING
        yield Finding("V01", severity, "", f"fitsverify: {match[2].strip()}", "no errors and no warnings of fitsverify")
    if answer.returncode and not told:
        yield Finding("V01", Severity.ERROR, "", f"fitsverify ended with {answer.returncode}", "0")

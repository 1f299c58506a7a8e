"""The engine ``solve-field`` of astrometry.net, as a program of its own, on our list of stars.

It gets a table of stars instead of a picture, and only the search is left to it: no plots, no distortion, none of the
programs around it. Where it lives (Debian: the package astrometry.net) nothing else is needed, and nothing is linked.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nightferry.core.errors import Misconfigured, TryAgain
from nightferry.formats.cards import close_header, format_card, parse_cards
from nightferry.formats.layout import whole_blocks
from nightferry.headers.dialects.header import Header
from nightferry.headers.dialects.solution import read_wcs
from nightferry.solving.model import Guess, Hints, Stars

#: Stars that are tried: twice as many make a search that finds nothing last for minutes.
_MOST_STARS = 50
_BLIND = (0.1, 400.0)  # arcseconds per pixel, where no hint says more


class SolveField:
    """Looks stars up with the program ``solve-field``."""

    name = "solve-field"

    def guess(self, stars: Stars, hints: Hints, indexes: Sequence[Path], seconds: float) -> Guess | None:
        """Find a first solution; see `nightferry.solving.model.Engine`."""
        program = shutil.which("solve-field")
        if program is None:
            raise Misconfigured(
                "the engine 'solve-field' is not installed (Debian, Ubuntu: apt-get install astrometry.net)"
            )
        with tempfile.TemporaryDirectory(prefix="nightferry-solve-") as name:
            folder = Path(name)
            (folder / "stars.xyls").write_bytes(star_list(stars, _MOST_STARS))
            (folder / "engine.cfg").write_text(_config(indexes, seconds), encoding="utf-8")
            said = _run(_command(program, folder, stars, hints, seconds), seconds + 2)
            if said is None:
                return None
            answer = folder / "stars.wcs"
            if not answer.exists():
                if "Did not solve" not in said and "did not solve" not in said:
                    raise TryAgain(f"solve-field failed: {_last_words(said)}")
                return None
            wcs, _ = read_wcs(Header(parse_cards(answer.read_bytes())))
            return None if wcs is None else Guess(wcs, _index_named(said))


def star_list(stars: Stars, most: int) -> bytes:
    """Write the brightest stars as a FITS table with the columns X, Y (pixels from 1) and FLUX."""
    rows = np.stack([stars.x[:most], stars.y[:most], stars.flux[:most]], axis=1).astype(">f8")
    primary = [
        format_card("SIMPLE", value=True), format_card("BITPIX", 8), format_card("NAXIS", 0),
        format_card("EXTEND", value=True), format_card("AN_FILE", "XYLS"),
    ]  # fmt: skip
    table = [
        format_card("XTENSION", "BINTABLE"), format_card("BITPIX", 8), format_card("NAXIS", 2),
        format_card("NAXIS1", 24), format_card("NAXIS2", len(rows)), format_card("PCOUNT", 0),
        format_card("GCOUNT", 1), format_card("TFIELDS", 3),
    ]  # fmt: skip
    for number, column in enumerate(("X", "Y", "FLUX"), 1):
        table += [format_card(f"TTYPE{number}", column), format_card(f"TFORM{number}", "1D")]
    data = rows.tobytes()
    return close_header(primary) + close_header(table) + data.ljust(whole_blocks(len(data)), b"\0")


def _config(indexes: Sequence[Path], seconds: float) -> str:
    lines = [f"cpulimit {max(1, round(seconds))}", "inparallel"]
    return "\n".join([*lines, *(f"index {path.resolve()}" for path in indexes)]) + "\n"


def _command(program: str, folder: Path, stars: Stars, hints: Hints, seconds: float) -> list[str]:
    low, high = hints.scales or _BLIND
    command = [
        program, "--dir", str(folder), "--temp-dir", str(folder), "--backend-config", str(folder / "engine.cfg"),
        "--overwrite", "--no-plots", "--no-tweak", "--no-remove-lines", "--uniformize", "0",
        "--width", str(stars.width), "--height", str(stars.height), "--x-column", "X", "--y-column", "Y",
        "--sort-column", "FLUX", "--scale-units", "arcsecperpix", "--scale-low", f"{low:.6f}",
        "--scale-high", f"{high:.6f}", "--cpulimit", str(max(1, round(seconds))), "--crpix-center",
        "--new-fits", "none", "--solved", "none", "--match", "none", "--rdls", "none", "--corr", "none",
        "--index-xyls", "none",
    ]  # fmt: skip
    if hints.ra is not None and hints.dec is not None:
        command += ["--ra", f"{hints.ra:.6f}", "--dec", f"{hints.dec:.6f}", "--radius", f"{hints.radius:g}"]
    return [*command, str(folder / "stars.xyls")]


def _run(command: list[str], seconds: float) -> str | None:
    """Run to the end and tell what was printed; None at the limit, where the programs that it started end with it."""
    process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=os.name == "posix",
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)
    return said.decode("utf-8", "replace")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _index_named(said: str) -> str:
    """Find the index file in what the program printed."""
    for line in reversed(said.splitlines()):
        for word in line.replace(",", " ").split():
            if word.endswith((".fits", ".fits)")) and "index" in line.lower():
                return Path(word.rstrip(").")).name
    return ""


def _last_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(lines[-2:]) or "it said nothing"

# noqa: INP001 - a script beside the pictures that it takes
"""Take the pictures of the README and the pages: real runs in a real terminal (tmux), drawn as SVG.

    scripts/docs --pictures

Needs tmux, and nightferry with the extra ``demo`` in the environment that runs this. What is drawn is what tmux
shows, character by character and colour by colour; no text is edited. Pictures fetch no fonts.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from nightferry.testing.telescope import simulated_vespera
from nightferry.testing.vespera import build_night

HERE = Path(__file__).parent
NIGHT_SKY = TerminalTheme(
    (16, 20, 31),
    (214, 219, 229),
    [(40, 46, 61), (240, 113, 120), (126, 211, 147), (240, 198, 116), (122, 162, 247), (187, 154, 247), (125, 207, 220),
     (192, 200, 214)],
    [(86, 95, 114), (255, 138, 144), (158, 236, 176), (255, 218, 145), (148, 184, 255), (208, 180, 255),
     (155, 227, 238), (236, 240, 247)],
)  # fmt: skip
# rich's own frame names a font on a server; this one takes the reader's.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>{title}</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Screen:
    """A terminal of its own."""

    def __init__(self, server: str, folder: Path, width: int, height: int) -> None:
        self._tmux = ["tmux", "-L", server, "-f", "/dev/null"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"HOME": str(folder), "PATH": path, "TERM": "tmux-256color", "PS1": "$ ", "LANG": "C.UTF-8"}
        settings = [f"{key}={value}" for key, value in environment.items()]
        shell = ["env", "-i", *settings, "bash", "--norc", "--noprofile"]
        size = ["-x", str(width), "-y", str(height)]
        self._run("new-session", "-d", *size, "-c", str(folder), shlex.join(shell))

    def _run(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own words

    def type(self, line: str) -> None:
        """Type a line and Return."""
        self._run("send-keys", "-l", line)
        self._run("send-keys", "Enter")

    def show(self) -> str:
        """Tell what stands on the screen, colours as ANSI sequences."""
        return self._run("capture-pane", "-e", "-p")

    def wait(self, ready: Callable[[str], bool], seconds: float = 120) -> str:
        """Look until the screen is ready, and tell what stands on it then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            shown = self.show()
            if ready(re.sub(r"\x1b\[[0-9;]*m", "", shown)):
                return shown
            time.sleep(0.05)
        raise TimeoutError(f"the screen never showed what was waited for:\n{self.show()}")

    def close(self) -> None:
        """End the terminal and what runs in it."""
        self._run("kill-session")


@contextmanager
def screen(folder: Path, width: int, height: int) -> Iterator[Screen]:
    """Open a terminal, and close it at the end."""
    opened = Screen(f"nightferry-{os.getpid()}", folder, width, height)
    try:
        opened.wait(lambda shown: shown.startswith("$"))
        yield opened
    finally:
        opened.close()


def draw(shown: str, width: int, title: str, target: Path) -> None:
    """Draw what a terminal shows, and an empty line below it."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in AnsiDecoder().decode(shown.rstrip("\n")):  # colours last over lines
        console.print(line, soft_wrap=True)
    console.print()
    frame = FRAME.replace("{title}", title)
    svg = console.export_svg(title=title, theme=NIGHT_SKY, code_format=frame, unique_id="night", font_aspect_ratio=0.6)
    target.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")
    print(f"wrote {target}")  # noqa: T201 - a script says what it did


def without_prompt(shown: str) -> str:
    """Leave out the empty prompt that waits at the end."""
    return re.sub(r"\n\$\s*$", "", shown.rstrip())


def take_demo(folder: Path) -> None:
    """Take the demo as it stands at its end."""
    with screen(folder.parent, 112, 46) as terminal:
        terminal.type(f"nightferry demo --into {folder.name}")
        shown = terminal.wait(lambda text: " why " in text and text.rstrip().endswith("$"))
    draw(without_prompt(shown), 112, "nightferry demo", HERE / "demo.svg")


def take_run(folder: Path) -> None:
    """Take a run in its middle, from a telescope as slow as Wi-Fi."""
    build_night(folder / "telescope", seed=1, evening=date(2026, 9, 12), observations=3, lights=4)
    with simulated_vespera(folder / "telescope", delay=0.15) as telescope, screen(folder, 96, 16) as terminal:
        terminal.type(f"nightferry init --preset vespera --name vespera --source {telescope.url} --library Astro")
        terminal.wait(lambda text: "next: " in text)
        terminal.type("clear; nightferry run vespera --night all")
        shown = terminal.wait(lambda text: re.search(r"\b([5-9]|1[0-8]) frames to go", text) is not None)
        terminal.wait(lambda text: "files listed, " in text)
    draw(without_prompt(shown), 96, "nightferry run vespera --night all", HERE / "run.svg")


if __name__ == "__main__":
    for take in (take_demo, take_run):
        # a name that reads well in a picture; whoever has such a folder keeps it
        home = Path(tempfile.gettempdir()) / "tonight"
        home.mkdir()
        try:
            take(home)
        finally:
            shutil.rmtree(home)

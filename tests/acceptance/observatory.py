"""SPECULOOS in a test: the control PC's share on a real Samba, operators behind a real mail server, and a desk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from tests.acceptance.conftest import DONE, Desk, Ended, digests
from tests.servers.mail_server import MailServer, mail_server
from tests.servers.samba import PASSWORD, SHARE, USER, Smbd, smbd

if TYPE_CHECKING:
    from pathlib import Path

NIGHT = "20260222"
FRAMES, CUBES = ("verify", "standardise", "validate"), ("verify", "standardise", "validate", "cube")
#: Alerts at once, without the patience that spares operators what heals by itself.
ALERTS = '[alerts]\nurls = ["env:MAIL"]\ndigest = "never"\npatience = "0 s"\n'


@dataclass
class Observatory:
    """One test's control PC, a folder on the share, with the way it goes into an archive of its own."""

    desk: Desk
    server: Smbd
    mail: MailServer
    place: str

    @property
    def images(self) -> Path:
        """The control PC's folder of images, as its own disk has it."""
        return self.server.folder / self.place

    @property
    def eso(self) -> Path:
        return self.desk.home / "eso"

    @property
    def environment(self) -> dict[str, str]:
        return {"CONTROL_PC_PASSWORD": PASSWORD, "MAIL": self.mail.url()}

    def plant(self, frames: Mapping[str, bytes], night: str = NIGHT) -> None:
        """Write frames as Astra leaves them: by name, in the folder of a night."""
        (self.images / night).mkdir(parents=True, exist_ok=True)
        for name, raw in frames.items():
            (self.images / night / name).write_bytes(raw)

    def configure(
        self, moon: str, *, route: Sequence[str] = FRAMES, source: str = "", telescope: str = "", sections: str = ""
    ) -> None:
        """Write the configuration of one telescope; what is given as text stands in its section, or behind all."""
        self.desk.config.write_text(
            f"""\
[ledger]
url = "sqlite:///{self.desk.ledger.as_posix()}"

[shelf]
path = "{self.desk.shelf.as_posix()}"
floor = "1 MB"

[crew]
kind = "threads"

{self.section(moon, route=route, source=source, telescope=telescope)}
[archive.eso]
url = "{self.eso.as_uri()}"

{ALERTS}
{sections}
""",
            encoding="utf-8",
        )

    def section(self, moon: str, *, route: Sequence[str] = FRAMES, source: str = "", telescope: str = "") -> str:
        """Tell the section of one of the four telescopes."""
        share = f"smb://127.0.0.1:{self.server.port}/{SHARE}/{self.place}"
        login = "" if source else f'user = "{USER}"\nsecret = "env:CONTROL_PC_PASSWORD"\n'
        steps = ", ".join(f'"{step}"' for step in route)
        settle = "" if "settle" in telescope else 'settle = "0 s"\n'
        return f"""\
[telescope.{moon}]
preset = "speculoos-{moon}"
source = "{source or share}"
{login}{settle}timeout = "120 s"
route = [{steps}]
program = "60.A-9009(D)"
archives = ["eso"]
header = {{ fitsverify = false }}
{telescope}
"""

    def run(self, *words: str) -> Ended:
        """Carry all nights of all telescopes."""
        return self.desk.nightferry("run", *words, "--night", "all", "--json", env=self.environment)

    def ask(self, *words: str) -> Ended:
        return self.desk.nightferry(*words, env=self.environment)

    def files(self) -> list[Path]:
        """List what lies in the archive: single frames and cubes."""
        return sorted(path for path in self.eso.rglob("*") if path.is_file())

    def frames(self) -> dict[str, Path]:
        """Tell the single frames in the archive by the name of their raw file, which no two share."""
        found = [path for path in self.files() if not path.name.startswith("SPECU4.")]
        named = {str(fits.getheader(path)["RAWFILE"]): path for path in found}
        assert len(named) == len(found), "a frame is there twice"
        return named

    def cubes(self) -> list[Path]:
        return [path for path in self.files() if path.name.startswith("SPECU4.")]

    def header(self, raw: str) -> fits.Header:
        """Read the header that the archive got for a raw frame."""
        return fits.getheader(self.frames()[raw])

    def assert_nothing_lost(self, held: Mapping[str, str] | None = None, *, alerts: Iterable[str] = ()) -> None:
        """Hold the archive against the control PC's disk, frame by frame, then the balance, then the mails.

        ``held`` are the frames that must be held, each with a word of its reason; every other one must lie in the
        archive once, with the very pixels of its raw frame and right sums.
        """
        told = {name.rpartition("/")[2]: reason for name, reason in self.desk.held().items()}
        held = held or {}
        assert told.keys() == held.keys(), told
        for name, word in held.items():
            assert word in told[name], (name, told[name])
        raw = {path.name: path for path in self.images.rglob("*") if path.is_file()}
        frames = self.frames()
        assert frames.keys() == raw.keys() - held.keys()
        for name, product in frames.items():
            same_pixels(raw[name], product)
        sheet = self.desk.balance()
        counts = (sheet.seen, sheet.delivered, sheet.held, sheet.failed, sheet.ignored, sheet.pending)
        assert counts == (len(raw), len(frames), len(held), 0, 0, 0)
        assert self.desk.parts() == []
        assert self.mail.subjects() == list(alerts)


def same_pixels(raw: Path, product: Path) -> None:
    """Compare the stored numbers of two frames, bit by bit; a wrong sum in the product is a warning, so an error."""
    with fits.open(raw, do_not_scale_image_data=True) as was, fits.open(product, checksum=True) as summed:
        assert was[0].data.tobytes() == fits.getdata(product, do_not_scale_image_data=True).tobytes()
        assert "CHECKSUM" in summed[0].header


def planes(cube: Path) -> dict[str, bytes]:
    """Tell the planes of a cube by the name of their raw frame, as the bytes that are stored."""
    with fits.open(cube, do_not_scale_image_data=True, checksum=True) as hdus:
        rows = hdus["METADATA"].data
        assert (np.diff(rows["MJD_OBS"]) >= 0).all()
        return {str(row["FILENAME"]): plane.tobytes() for row, plane in zip(rows, hdus[0].data, strict=True)}


@contextmanager
def servers() -> Iterator[tuple[Smbd, MailServer]]:
    """Run the control PCs' Samba and the operators' mail server, for all tests of a module."""
    with smbd("server signing = mandatory") as server, mail_server() as mail:
        yield server, mail


def observatory_at(desk: Desk, running: tuple[Smbd, MailServer], place: str) -> Observatory:
    """Give one test a folder of its own on the share, and an empty mailbox."""
    server, mail = running
    mail.refuses = ""
    mail.mails.clear()
    (server.folder / place).mkdir()
    (desk.home / "eso").mkdir()
    return Observatory(desk, server, mail, place)


__all__ = ["CUBES", "DONE", "FRAMES", "NIGHT", "Observatory", "digests", "observatory_at", "planes", "servers"]

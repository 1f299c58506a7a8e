"""Small nights in each program's dialect, carried and standardised on the way to an archive and to a library."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nightferry import api
from nightferry.config import loads
from nightferry.core.balance import Bin
from tests.checkers import complaints_of_fitscheck, complaints_of_fitsverify, fitsverify_program

if TYPE_CHECKING:
    from nightferry.core.ledger import Account

HEADERS = Path(__file__).parents[1] / "data/headers"
#: What the archive cannot take, because the headers do not tell it.
LACKING = {
    "dwarf2": "V03 RA", "nina": "V03 RA", "origin": "V03 IMAGETYP", "sharpcap": "V03 IMAGETYP",
    "stellina": "V03 OBJECT",
}  # fmt: skip
NAMES = {"dwarf2": "M 33_15s60_Astro_20230610-21381944{}_24C.fits", "stellina": "img-000{}.fits"}
_LONG_AGO = 1_771_900_000


@dataclass
class Carried:
    """What became of a night: each file's account, the products, and the raw bytes."""

    accounts: dict[str, Account]
    products: list[Path]
    raw: dict[str, bytes]


def plant(folder: Path, name: str) -> dict[str, bytes]:
    """Write three frames under a program's header, a minute apart, the last one truncated."""
    cards = [line for line in (HEADERS / f"{name}.txt").read_text(encoding="ascii").splitlines() if line[:1] != "#"]
    size = {f"NAXIS{axis}  ": f"NAXIS{axis}  =                   32" for axis in "12"}
    found = {}
    for number in range(3):
        minute = re.compile(r"(?<=^DATE-(?:OBS|LOC)= '....-..-..T..:).")
        lines = [minute.sub(str(number), size.get(card[:8], card)) for card in cards]
        text = "".join(line.ljust(80) for line in lines) + "END".ljust(80)
        pixels = bytes((value + number) % 251 for value in range(2048))
        raw = text.encode("ascii").ljust(-(-len(text) // 2880) * 2880) + pixels + bytes(2880 - 2048)
        path = folder / NAMES.get(name, f"{name}-{{}}.fits").format(number)
        found[path.name] = raw[:-1500] if number == 2 else raw
        path.write_bytes(found[path.name])
        os.utime(path, (_LONG_AGO, _LONG_AGO))
    return found


def carried(home: Path, name: str, profile: str, monkeypatch: pytest.MonkeyPatch) -> Carried:
    monkeypatch.setenv("PATH", os.environ["PATH"] + os.pathsep + str(fitsverify_program().parent))
    for folder in ("raw", "archive"):
        (home / folder).mkdir()
    raw = plant(home / "raw", name)
    config = loads(f"""
        [ledger]
        url = "sqlite:///{(home / "ledger.db").as_posix()}"
        [shelf]
        path = '{(home / "shelf").as_posix()}'
        floor = "1 MB"
        [crew]
        kind = "threads"
        [site.ours]
        latitude = "48.1 deg"
        longitude = "11.6 deg"
        elevation = "500 m"
        [telescope.ours]
        preset = "generic"
        source = "{(home / "raw").as_uri()}"
        settle = "0 s"
        site = "ours"
        route = ["verify", "standardise", "validate"]
        program = "60.A-9009(D)"
        archives = ["archive"]
        [telescope.ours.header]
        profile = "{profile}"
        telescop = "OURS"
        instrume = "CAM1"
        origin = "HOME"
        observer = "Observer"
        pi = "Nobody"
        [archive.archive]
        url = "{(home / "archive").as_uri()}"
    """)
    with api.open_ledger(config) as ledger:
        (balance,) = api.run(config, ledger, "ours", ["all"]).balances
        assert (balance.seen, balance.balanced, balance.closed) == (3, True, True)
        accounts = {str(account.sighting.path): account for account in ledger.accounts("ours")}
    products = sorted(path for path in (home / "archive").rglob("*") if path.is_file())
    return Carried(accounts, products, raw)


@pytest.mark.parametrize("name", sorted(path.stem for path in HEADERS.glob("*.txt")))
@pytest.mark.parametrize("profile", ["eso", "library"])
def test_a_night_of_each_dialect_is_delivered_or_held_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, profile: str
) -> None:
    night = carried(tmp_path, name, profile, monkeypatch)
    *whole, truncated = sorted(night.raw)
    assert night.accounts[truncated].standing.bin is Bin.HELD
    assert "truncated" in night.accounts[truncated].standing.reason
    if profile == "eso" and name in LACKING:
        reasons = [night.accounts[path].standing.reason for path in whole]
        assert all(LACKING[name] in reason for reason in reasons), reasons
        assert night.products == []
        return
    assert [night.accounts[path].standing.bin for path in whole] == [Bin.DELIVERED] * 2
    assert len(night.products) == 2
    assert complaints_of_fitsverify(night.products) == []
    assert complaints_of_fitscheck(night.products) == []
    pixels = {path.read_bytes()[-2880:-832] for path in night.products}
    assert pixels == {night.raw[path][-2880:-832] for path in whole}

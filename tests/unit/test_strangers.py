"""Files that nobody delivered, while others are on their way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nightferry import api
from nightferry.assemble import lock_path
from nightferry.config import Config
from nightferry.core.errors import Busy
from nightferry.core.frame import FrameId
from nightferry.core.ledger import Ledger
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.passes.audit import strangers
from nightferry.passes.route import locked
from tests.unit.conftest import NIGHT


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "eso").mkdir()
    text = f"""
[ledger]
url = "sqlite:///{(tmp_path / "ledger.db").as_posix()}"
[telescope.io]
preset = "generic"
source = "{(tmp_path / "card").as_uri()}"
archives = ["eso"]
[telescope.europa]
preset = "generic"
source = "{(tmp_path / "disk").as_uri()}"
archives = ["eso"]
[archive.eso]
url = "{(tmp_path / "eso").as_uri()}"
"""
    return api.loads(text)


@pytest.fixture
def ledger(config: Config) -> Iterator[Ledger]:
    with api.open_ledger(config) as opened:
        yield opened


def names(config: Config, ledger: Ledger) -> list[StorePath]:
    return [one.name for one in api.strangers(config, ledger, ["io"])]


def test_file_whose_receipt_comes_a_moment_later_is_no_stranger(
    config: Config, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("copied.fits", "delivered.fits"):
        (tmp_path / "eso" / name).write_bytes(b"-")
    assert names(config, ledger) == ["copied.fits", "delivered.fits"]

    def list_and_record(*given: object) -> list[api.Stranger]:
        found = list(strangers(*given))  # type: ignore[arg-type] # as it is called
        frame, proof = FrameId("1" * 64), {"name": "delivered.fits"}
        ledger.record([Receipt(frame, NIGHT, "deliver", "1", Outcome.DONE, target="eso", proof=proof)])
        return found

    monkeypatch.setattr("nightferry.api._audit.list_strangers", list_and_record)
    assert names(config, ledger) == ["copied.fits"]


def test_nothing_is_called_strange_while_another_telescope_delivers_there(
    config: Config, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightferry.api._audit._LOOKS_LAST", 0.0)
    with locked(lock_path(config, "europa"), "europa"):
        assert names(config, ledger) == [], "there is nothing to judge"
        (tmp_path / "eso" / "new.fits").write_bytes(b"-")
        with pytest.raises(Busy, match="europa"):
            names(config, ledger)
    assert names(config, ledger) == ["new.fits"]

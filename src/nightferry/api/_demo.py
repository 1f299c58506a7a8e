"""The demo: a simulated Vespera on loopback, a whole night carried from it, and a second pass that moves nothing."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event

from nightferry.api._carry import run
from nightferry.api._init import Setup, config_text
from nightferry.assemble import Hands, open_ledger
from nightferry.config import Config, load_preset, loads
from nightferry.core.display import size_text
from nightferry.core.errors import Misconfigured
from nightferry.core.ledger import Account, Ledger
from nightferry.core.night import evening_of
from nightferry.core.progress import Nobody, Onlooker
from nightferry.passes.run import Pass

Shown = Callable[[], AbstractContextManager[Onlooker]]


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """What the demo is about to do, in a sentence, or what it has done.

    ``detail`` says more of it; ``passed`` is a pass that ended, and ``frames`` what stands in the ledger after it.
    """

    text: str = ""
    detail: str = ""
    passed: Pass | None = None
    frames: Sequence[Account] = ()


def demo(
    home: Path, *, quirks: bool = True, solve: bool = False, shown: Shown = lambda: nullcontext(Nobody())
) -> Iterator[DemoEvent]:
    """Build a simulated telescope in a new folder, carry its night twice, and yield what happens.

    The folder is one of `demo_folder`; configuration, ledger and library are in it afterwards. ``quirks``: it has
    awkward and damaged files; ``solve``: its frames are solved, too. ``shown`` opens what shows a pass' progress.
    """
    from nightferry.testing.telescope import simulated_vespera  # noqa: PLC0415 - says itself what it lacks
    from nightferry.testing.vespera import build_night  # noqa: PLC0415

    index = None
    if solve:
        engine, folder = _engine(), home / "indexes"
        yield DemoEvent(f"Building index files of its fields in {folder}, for the engine {engine} ...")
        index = _index(folder)
    yield DemoEvent(f"Building a Vespera's night in {home / 'telescope'} ...")
    plan = build_night(home / "telescope", seed=1, evening=last_evening(datetime.now(UTC)), quirks=quirks)
    size = size_text(sum(file.size for file in plan.files))
    yield DemoEvent(detail=f"{len(plan.files):,} files, {size}, with the stars of the Tycho-2 catalogue")
    with simulated_vespera(home / "telescope") as telescope:
        config = _config(home, telescope.url, index)
        with open_ledger(config) as ledger:
            yield DemoEvent(f"It serves them at {telescope.url}. Carrying the night:")
            yield _carry(config, ledger, shown)
            yield DemoEvent("A second pass finds everything known and moves nothing:")
            yield _carry(config, ledger, shown)


def demo_folder(into: Path | None = None) -> Path:
    """Make the folder of a demo: this one, or a temporary one; raises `Misconfigured` when it is not empty."""
    if into is None:
        return Path(tempfile.mkdtemp(prefix="nightferry-demo-"))
    if into.exists() and any(into.iterdir()):
        raise Misconfigured(f"{into} is not empty; the demo wants a new folder")
    into.mkdir(parents=True, exist_ok=True)
    return into.absolute()


def last_evening(now: datetime) -> date:
    """Return the newest evening whose night is over by the telescope's clock: no frame of it is yet to be taken."""
    from nightferry.testing.observations import CLOCK  # noqa: PLC0415 - the demo alone needs it

    return evening_of(now.astimezone(CLOCK).replace(tzinfo=None)) - timedelta(days=1)


def _engine() -> str:
    from nightferry.solving.engines import load_engine  # noqa: PLC0415 - says itself what it lacks

    return load_engine().name


def _index(folder: Path) -> Path:
    """Build index files of the fields that the telescope shows, from the same stars."""
    from nightferry.testing.fields import build_sky_index  # noqa: PLC0415 - brings numpy

    return build_sky_index(folder)


def _config(home: Path, url: str, index: Path | None = None) -> Config:
    """Write the configuration that `init` would, with its ledger beside it."""
    setup = Setup(preset="vespera", name="vespera", source=url, library=home / "library")
    text = config_text(setup, load_preset("vespera"))
    text = text.replace('settle = "10 s"', 'settle = "1 s"').replace(
        (home / "library" / ".nightferry").as_posix(), (home / "shelf").as_posix()
    )
    text += f'\n[ledger]\nurl = "sqlite:///{(home / "ledger.db").as_posix()}"\n'
    if index is not None:
        route = 'route = ["verify", "solve"]'
        text = text.replace("[telescope.vespera]\n", f"[telescope.vespera]\n{route}\n", 1)
        text += f'\n[telescope.vespera.solve]\nindex = ["{index.as_posix()}"]\n'
    (home / "library").mkdir()
    (home / "nightferry.toml").write_text(text, encoding="utf-8")
    return loads(text, str(home / "nightferry.toml"))


def _carry(config: Config, ledger: Ledger, shown: Shown) -> DemoEvent:
    with shown() as progress:
        done = run(config, ledger, "vespera", ["all"], hands=Hands(progress, Event()))
    return DemoEvent(passed=done, frames=ledger.accounts("vespera"))

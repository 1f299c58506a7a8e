"""The demo: a simulated Vespera on loopback, a whole night carried from it, and a second pass that moves nothing."""

import shutil
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from nightferry import api
from nightferry.cli.carrying import summary
from nightferry.cli.progress import onlooker
from nightferry.cli.seen import night_lines, seen_of
from nightferry.cli.setup import Wishes, write_config
from nightferry.cli.show import say, show_balances, size_text
from nightferry.config import Config, load_preset, loads
from nightferry.core.balance import Bin
from nightferry.core.errors import Misconfigured
from nightferry.core.ledger import Ledger
from nightferry.core.night import evening_of


def demo_command(into: Path | None, *, quirks: bool, solve: bool = False) -> None:
    """Build the telescope, carry its night twice, and show what happened."""
    from nightferry.testing.telescope import simulated_vespera  # noqa: PLC0415 - says itself what it lacks
    from nightferry.testing.vespera import build_night  # noqa: PLC0415

    home = _new_folder(into)
    index = _index(home / "indexes") if solve else None
    say(f"Building a Vespera's night in {home / 'telescope'} ...", "bold")
    plan = build_night(home / "telescope", seed=1, evening=last_evening(datetime.now(UTC)), quirks=quirks)
    size = sum(file.size for file in plan.files)
    say(f"  {len(plan.files):,} files, {size_text(size)}, with the stars of the Tycho-2 catalogue")
    with simulated_vespera(home / "telescope") as telescope:
        config = _config(home, telescope.url, index)
        say(f"It serves them at {telescope.url}. Carrying the night:", "bold")
        with api.open_ledger(config) as ledger:
            _carry(config, ledger)
            if not sys.stderr.isatty():  # where bars are drawn, what is held was told above them
                _tell_held(ledger)
            say("A second pass finds everything known and moves nothing:", "bold")
            _carry(config, ledger)
        if solve:
            _tell_solved(ledger)
    say("The library:", "bold")
    for folder in sorted((home / "library").iterdir()):
        frames = [path for path in folder.rglob("*") if path.is_file()]
        say(f"  {folder.name:<14} {len(frames):>4} frames  {size_text(sum(path.stat().st_size for path in frames)):>9}")
    say(f"It is in {home / 'library'}. Ask about any frame, for example:", "bold")
    say(f"  {_command()} --config {home / 'nightferry.toml'} held")
    say(f"  {_command()} --config {home / 'nightferry.toml'} why {_some_frame(home)}")


def last_evening(now: datetime) -> date:
    """Tell the newest evening whose night is over by the telescope's clock: no frame of it is yet to be taken."""
    from nightferry.testing.observations import CLOCK  # noqa: PLC0415 - the demo alone needs it

    return evening_of(now.astimezone(CLOCK).replace(tzinfo=None)) - timedelta(days=1)


def _new_folder(into: Path | None) -> Path:
    if into is None:
        return Path(tempfile.mkdtemp(prefix="nightferry-demo-"))
    if into.exists() and any(into.iterdir()):
        raise Misconfigured(f"{into} is not empty; the demo wants a new folder")
    into.mkdir(parents=True, exist_ok=True)
    return into.absolute()


def _index(folder: Path) -> Path:
    """Build index files of the fields that the telescope shows, from the same stars."""
    from nightferry.solving.engines import load_engine  # noqa: PLC0415 - says itself what it lacks
    from nightferry.testing.fields import build_sky_index  # noqa: PLC0415 - as above

    engine = load_engine().name
    say(f"Building index files of its fields in {folder}, for the engine {engine} ...", "bold")
    return build_sky_index(folder)


def _config(home: Path, url: str, index: Path | None = None) -> Config:
    """Write the configuration that ``nightferry init`` would, with its ledger beside it."""
    wishes = Wishes(preset="vespera", name="vespera", source=url, library=home / "library")
    text = write_config(wishes, load_preset("vespera"))
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


def _carry(config: Config, ledger: Ledger) -> None:
    with onlooker(quiet=not sys.stderr.isatty()) as watcher:
        hands = api.Hands(watcher, api.idle_hands().stop)
        done = api.run(config, ledger, "vespera", ["all"], hands=hands)
    show_balances(done.balances)
    say(f"{summary('vespera', done)}")
    if not all(balance.balanced for balance in done.balances):
        raise RuntimeError("the demo's night does not balance")


def _tell_held(ledger: Ledger) -> None:
    accounts = ledger.accounts("vespera", None, [Bin.HELD])
    if accounts:
        say("Held, each with its reason (a real night has such files too):", "bold")
    for account in accounts:
        say(f"  {account.sighting.path}: {account.standing.reason}", "red")


def _tell_solved(ledger: Ledger) -> None:
    """Tell what became of the frames of the sky."""
    seen = [facts for account in ledger.accounts("vespera") if (facts := seen_of(account))]
    for line in night_lines(seen):
        say(line, "green")
    for facts in seen:
        if "stars" in facts and not facts["solved"]:
            say(f"  not solved: {facts['why']}", "yellow")


def _some_frame(home: Path) -> str:
    first = next(iter(sorted((home / "library").rglob("*.fits"))), None)
    return f'"{first.name}"' if first else "FRAME"


def _command() -> str:
    return "nightferry" if shutil.which("nightferry") else f"{sys.executable} -m nightferry"

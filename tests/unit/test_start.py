"""What a command does not import: the cause of a quick start, where its time is for benchmarks/start_speed.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from nightferry.ledger.sql import open_ledger

#: What only some routes, stores, engines and alerts need.
RARE = {
    "alembic", "apprise", "astropy", "astrometry", "botocore", "cryptography", "dask", "erfa", "http.client", "keyring",
    "numpy", "prometheus_client", "rich.progress", "sep", "smtplib", "spnego", "sqlalchemy.orm",
}  # fmt: skip
LOOKS = "import sys; from nightferry.__main__ import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A telescope that has shown nothing yet, and its ledger."""
    for name in ("images", "eso"):
        (tmp_path / name).mkdir()
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    open_ledger(url).close()
    file = tmp_path / "config.toml"
    file.write_text(
        f'[ledger]\nurl = "{url}"\n[shelf]\npath = "{(tmp_path / "shelf").as_posix()}"\nfloor = "1 B"\n'
        f'[telescope.io]\npreset = "speculoos-io"\nroute = ["verify"]\nsource = "{(tmp_path / "images").as_uri()}"\n'
        f'archives = ["eso"]\n[archive.eso]\nurl = "{(tmp_path / "eso").as_uri()}"\n',
        encoding="utf-8",
    )
    return file


def imported(program: str, *words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_a_run_without_news_imports_nothing_that_it_does_not_need(config: Path) -> None:
    found = imported(LOOKS, "--config", str(config), "run", "--night", "all")
    assert "nightferry.passes.run" in found
    assert "nightferry.core.sun" in found  # its site is known, so the sun was asked for
    assert not found & RARE
    assert "nightferry.stores.local" in found
    assert not [
        name
        for name in found
        if name.startswith(tuple(f"nightferry.stores.{protocol}" for protocol in ("ftp", "sftp", "smb", "s3")))
    ]
    assert not [
        name
        for name in found
        if name.startswith(("nightferry.cubes", "nightferry.headers.dialects", "nightferry.solving"))
    ]


def test_status_imports_neither_what_writes_the_ledger_nor_what_carries(config: Path) -> None:
    found = imported(LOOKS, "--config", str(config), "status")
    assert "nightferry.ledger.glance" in found
    assert not found & (RARE | {"sqlalchemy", "asyncio", "multiprocessing", "nightferry.passes"})
    parts = {name for name in found if name.startswith("nightferry.api.")}
    assert parts == {"nightferry.api._status"}


def test_answers_in_json_draw_nothing(config: Path) -> None:
    for command in ("status", "nights"):
        found = imported(LOOKS, "--config", str(config), command, "--json")
        assert not [name for name in found if name.partition(".")[0] == "rich"]


def test_pydantic_does_not_search_all_installed_packages_for_plug_ins(config: Path) -> None:
    counts = (
        "import importlib.metadata, sys; from nightferry.__main__ import main\nsearched = []\n"
        "importlib.metadata.entry_points = lambda **words: searched.append(words) or ()\n"
        "try: main()\nfinally: print(len(searched), file=sys.stderr)"
    )
    assert imported(counts, "--config", str(config), "status") == {"0"}


@pytest.mark.parametrize("module", ["nightferry.__main__", "nightferry.passes.processing"])
def test_a_worker_imports_neither_the_command_line_nor_the_ledger(module: str) -> None:
    """A spawned worker imports the program that started it, and what its task is made of."""
    found = imported(f"import sys, {module}; print(*sys.modules, file=sys.stderr)")
    assert module in found
    assert not found & {"typer", "rich", "sqlalchemy", "asyncio", "filelock", "nightferry.cli", "nightferry.ledger"}

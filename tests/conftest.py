"""What all tests share: the option for long proofs, and how hypothesis behaves here."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nightferry.core.store import Store
from nightferry.testing.conformance import StoreStage


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer ``--long``."""
    parser.addoption("--long", action="store_true", help="give the long proofs all their rounds")


def pytest_configure(config: pytest.Config) -> None:
    """Set hypothesis up before the test modules are read."""
    long = bool(config.getoption("--long"))
    settings.register_profile(
        "nightferry",
        deadline=None,  # a loaded machine is no failure
        suppress_health_check=[HealthCheck.too_slow],  # the same
        derandomize="CI" in os.environ and not long,  # a change is judged by what it does, not by luck
        max_examples=2000 if long else 100,
        print_blob=True,
    )
    settings.load_profile("nightferry")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the long proofs begin first, so that no worker is left with one when the others are done."""
    items.sort(key=lambda item: "rounds" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def sky_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build index files of the fields that the simulated telescope shows, and give their folder."""
    from nightferry.testing.fields import build_sky_index

    return build_sky_index(tmp_path_factory.mktemp("sky") / "index")


@pytest.fixture
def store(stage: StoreStage) -> Iterator[Store]:
    """Give the conformance suite a fresh store on the stage's root, and close it afterwards."""
    with closing(stage.store()) as store:
        yield store


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that the proofs recorded, from whichever process they come."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figure":
                terminalreporter.write_line(str(value))


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    """Give a function that picks how many rounds a proof runs: ``rounds(short, long)``, the second with ``--long``."""
    long = bool(pytestconfig.getoption("--long"))

    def pick(short: int, much: int) -> int:
        return much if long else short

    return pick

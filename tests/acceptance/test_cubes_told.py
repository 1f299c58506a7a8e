"""A cube that waits for a person is told everywhere that a frame is: by mail, on the morning's screen, in its JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import DONE, HELD, Desk
from tests.acceptance.observatory import CUBES, Observatory, observatory_at, servers
from tests.astra import astra_frame
from tests.servers.mail_server import MailServer
from tests.servers.samba import Smbd


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Smbd, MailServer]]:
    with servers() as found:
        yield found


@pytest.fixture
def observatory(desk: Desk, running: tuple[Smbd, MailServer], tmp_path: Path) -> Observatory:
    return observatory_at(desk, running, tmp_path.name)


def told(observatory: Observatory) -> dict[str, object]:
    """Ask the morning's screen for the cubes of the only night."""
    (line,) = observatory.ask("status", "--json").json()
    nights = line["nights"]
    assert isinstance(nights, list)
    (night,) = nights
    cubes: dict[str, object] = night["cubes"]
    return cubes


def test_a_held_cube_of_a_night_whose_frames_are_all_delivered_is_told(observatory: Observatory) -> None:
    observatory.plant({f"light_{n}.fits": astra_frame(number=n) for n in range(4)})
    observatory.configure("callisto", route=CUBES)
    assert observatory.run().code == DONE
    (cube,) = observatory.cubes()
    assert told(observatory) == {"delivered": 1, "held": 0, "failed": 0, "pending": 0, "reasons": []}
    assert observatory.ask("status").code == DONE
    cube.unlink()
    assert observatory.ask("audit").code == HELD
    assert observatory.run().code == HELD
    title = "callisto: 1 cube of 2026-02-22 is held"
    assert observatory.mail.subjects().count(f"nightferry: {title}") == 1
    cubes = told(observatory)
    assert (cubes["delivered"], cubes["held"]) == (0, 1)
    answer = observatory.ask("status")
    assert answer.code == HELD
    assert "0, 1 held" in answer.out
    assert f"1 cube at deliver to eso: eso no longer has 2026-02-22/{cube.name}" in answer.out
    assert observatory.ask("release", cube.name, "--why", "a test").code == DONE
    assert observatory.run().code == DONE
    assert observatory.cubes() == [cube]
    assert observatory.mail.subjects().count(f"nightferry: over: {title}") == 1
    assert observatory.ask("status").code == DONE

"""How the scripts of today lose frames of a SPECULOOS night: each way was observed, and is walked here end to end.

A real Samba is the control PC, a real mail server tells the operators. Each night ends with nothing lost, a true
balance, and the mail that is due: none, where nobody has to act. The numbers are those of the list of failures.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from astropy.io import fits

from tests.acceptance.conftest import DONE, FAILED, HELD, MOUNTS, Desk, small_disk, until
from tests.acceptance.observatory import NIGHT, Observatory, digests, observatory_at, servers
from tests.astra import astra_frame
from tests.astra_night import build_astra_night
from tests.servers.mail_server import MailServer, silent_server
from tests.servers.samba import Smbd

Servers = tuple[Smbd, MailServer]
#: What a millisecond more or less makes of the times in a header, with the rounding of their last digit.
MILLISECOND = {"UTC": 0.0011, "LST": 0.0011, "MJD-OBS": 2.1e-8, "MJD-END": 2.1e-8}


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    with servers() as found:
        yield found


@pytest.fixture
def observatory(desk: Desk, running: Servers, tmp_path: Path) -> Observatory:
    return observatory_at(desk, running, tmp_path.name)


def lights(count: int, **options: object) -> dict[str, bytes]:
    """Make a night of light frames, by name."""
    return {
        f"camera_I+z_Sp2306-0502_{number:04d}.fits": astra_frame(number=number, **options)  # type: ignore[arg-type] # its options
        for number in range(count)
    }


if MOUNTS:

    def test_01_a_full_archive_is_told_and_counts_as_nothing_delivered(observatory: Observatory) -> None:
        observatory.plant(lights(8, size=(64, 480)))
        observatory.configure("io")
        with small_disk(observatory.eso, 200_000):
            assert observatory.run().code == FAILED
            sheet = observatory.desk.balance()
            there = observatory.files()
            assert 0 < sheet.delivered == len(there) < 8
            assert all(path.stat().st_size > 61_440 for path in there), "no empty and no partial frame"
            assert observatory.mail.subjects() == [
                f"nightferry: archive eso takes nothing: {8 - sheet.delivered} frames wait"
            ]
            assert len(digests(observatory.desk.shelf)) >= 8 - sheet.delivered, "what was not delivered is kept"
            grow = ["mount", "-o", "remount,size=10m", f"{observatory.eso}"]
            subprocess.run(grow, check=True, capture_output=True)
            assert observatory.ask("retry").code == DONE
            assert observatory.run().code == DONE
            first, over = observatory.mail.subjects()
            assert over.startswith("nightferry: over: archive eso takes nothing")
            observatory.assert_nothing_lost(alerts=[first, over])


def test_02_bad_frames_cost_no_good_one_beside_them(observatory: Observatory) -> None:
    faults = {"truncated": "truncated", "empty": "empty", "no-imagetyp": "IMAGETYP", "no-dateobs": "DATE-OBS"}
    night = build_astra_night(observatory.images, faults=faults, kinds=["bias", "flat", *["light"] * 26])
    observatory.configure("europa")
    assert observatory.run().code == HELD
    held = {item.path.rpartition("/")[2]: faults[item.fault] for item in night if item.fault}
    observatory.assert_nothing_lost(held, alerts=["nightferry: europa: 4 of 28 frames of 2026-02-22 are held"])
    text = observatory.mail.mails[0].get_body(("plain",))
    assert text is not None
    assert "2 at verify: " in text.get_content()
    assert "2 at standardise: " in text.get_content()


def test_03_frames_of_one_millisecond_are_as_many_in_the_archive(observatory: Observatory) -> None:
    stamp = {"DATE-OBS": "2026-02-23T01:02:03"}
    observatory.plant({f"bias_{n}.fits": astra_frame("bias", number=n, changed=stamp) for n in range(6)})
    observatory.plant(lights(3))
    observatory.configure("ganymede")
    assert observatory.run().code == DONE
    observatory.assert_nothing_lost()
    assert len({path.name for path in observatory.files()}) == 9


def test_04_unsolved_frames_with_numbered_names_do_not_collide_in_any_filter(observatory: Observatory) -> None:
    for place, band in enumerate("grizu"):
        frames = {
            f"img_{4 * place + n:04d}.fits": astra_frame(number=4 * place + n, solved=False, changed={"FILTER": band})
            for n in range(4)
        }
        observatory.plant(frames)
    observatory.configure("callisto")
    assert observatory.run().code == DONE
    observatory.assert_nothing_lost()
    assert len(observatory.files()) == 20


def test_05_the_route_on_its_own_output_loses_none_of_it(observatory: Observatory) -> None:
    observatory.plant(lights(4))
    observatory.configure("io")
    assert observatory.run().code == DONE
    first = observatory.frames()
    again = {path.name: path.read_bytes() for path in first.values()}
    observatory.plant(again)
    answer = observatory.run()
    assert answer.code == DONE, "what we made is good enough for ourselves"
    for path in first.values():
        assert path.read_bytes() == again[path.name], "what was delivered stays as it was"
    second = {name: path for name, path in observatory.frames().items() if name in again}
    assert second.keys() == again.keys(), "each is a frame like any other, and arrives under a name of its own"
    for name, path in second.items():
        was, now = fits.Header.fromstring(again[name].decode("latin-1")), fits.getheader(path)
        others = {key for key in (*was, *now) if was.get(key) != now.get(key)}
        assert others <= {"DATE", "RAWFILE", "HISTORY", "CHECKSUM", *MILLISECOND}, (
            "it says what it said, but whence it came"
        )
        assert now["RAWFILE"] == name
        for key, most in MILLISECOND.items():
            assert abs(now[key] - was[key]) <= most, "DATE-OBS is written to the millisecond"
    observatory.assert_nothing_lost()


if sys.platform != "win32":

    def test_06_kill_9_while_headers_are_written_leaves_nothing_partial(observatory: Observatory) -> None:
        observatory.plant(lights(40, size=(256, 256)))
        observatory.configure("europa")
        process = observatory.desk.start("run", "europa", "--night", "all", env=observatory.environment)
        until(lambda: any(observatory.desk.shelf.rglob("standard/*")), "headers are being written")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        before = {path: path.read_bytes() for path in observatory.files() if not path.name.endswith(".part")}
        assert len(before) < 40
        assert observatory.run().code == DONE
        observatory.assert_nothing_lost()
        assert all(path.read_bytes() == raw for path, raw in before.items()), "good output is never taken away"


def test_07_fts_files_and_a_linked_night_folder_are_found(observatory: Observatory) -> None:
    suffixes = ("fts", "fit", "FITS")
    frames = {f"light_{n}.{suffix}": astra_frame(number=n) for n, suffix in enumerate(suffixes)}
    observatory.plant(frames)
    elsewhere = observatory.images.with_name(f"{observatory.place}-other")
    (observatory.images / NIGHT).rename(elsewhere)
    (observatory.images / NIGHT).symlink_to(f"../{elsewhere.name}")
    observatory.configure("ganymede")
    assert observatory.run("ganymede").code == DONE
    (observatory.images / NIGHT).unlink()
    elsewhere.rename(observatory.images / NIGHT)
    observatory.assert_nothing_lost()


def test_07_a_mount_that_failed_is_no_night_without_frames(observatory: Observatory) -> None:
    observatory.plant(lights(3))
    mount = observatory.desk.home / "Astra_mount"
    observatory.images.rename(mount)
    observatory.configure("callisto", source=mount.as_uri())
    assert observatory.run().code == DONE
    mount.rename(observatory.images)
    mount.mkdir()
    answer = observatory.run()
    assert answer.code == FAILED
    assert "Mount it and try again" in answer.err
    assert observatory.mail.subjects() == ["nightferry: callisto cannot be reached"]
    assert observatory.desk.balance().delivered == 3, "the ledger forgets nothing"
    mount.rmdir()
    observatory.plant({"late.fits": astra_frame(number=50)})
    observatory.images.rename(mount)
    assert observatory.run().code == DONE
    mount.rename(observatory.images)
    observatory.assert_nothing_lost(
        alerts=["nightferry: callisto cannot be reached", "nightferry: over: callisto cannot be reached"]
    )


def test_08_a_frame_that_is_still_written_is_waited_for(observatory: Observatory) -> None:
    observatory.plant(lights(4))
    growing = observatory.images / NIGHT / "growing.fits"
    whole = astra_frame(number=30, size=(256, 256))
    growing.write_bytes(b"")

    def camera() -> None:
        with growing.open("r+b", buffering=0) as file:
            for start in range(0, len(whole), len(whole) // 30):
                file.write(whole[start : start + len(whole) // 30])
                time.sleep(0.1)

    observatory.configure("io", telescope='settle = "2 s"')  # far longer than a busy machine keeps the camera waiting
    writer = threading.Thread(target=camera)
    writer.start()
    answer = observatory.run()
    writer.join()
    assert answer.code == DONE, answer.err
    observatory.assert_nothing_lost()


def test_09_a_mail_server_that_refuses_loses_no_alert_and_clears_nothing_unproven(observatory: Observatory) -> None:
    night = build_astra_night(observatory.images, faults=["truncated", "empty", "no-imagetyp"], kinds=["light"] * 9)
    observatory.configure("europa", sections='[telescope.europa.clear]\nafter = "0 s"')
    observatory.mail.refuses = "554 no mail today"
    answer = observatory.run()
    assert answer.code == HELD
    assert "is tried again" in answer.err
    left = {path.name for path in observatory.images.rglob("*.fits")}
    assert left == {item.path.rpartition("/")[2] for item in night if item.fault}
    assert observatory.frames().keys() == {item.path.rpartition("/")[2] for item in night if not item.fault}
    sheet = observatory.desk.balance()
    assert (sheet.seen, sheet.delivered, sheet.held) == (9, 6, 3)
    observatory.mail.refuses = ""
    assert observatory.ask("alerts", "send").code == DONE
    assert observatory.mail.subjects() == ["nightferry: europa: 3 of 9 frames of 2026-02-22 are held"]


def test_09_a_mail_server_that_never_answers_blocks_nothing(observatory: Observatory) -> None:
    build_astra_night(observatory.images, faults=["truncated", "empty", "no-imagetyp"], kinds=["light"] * 9)
    observatory.configure("ganymede")
    with silent_server() as port:
        mute = observatory.environment | {"MAIL": f"mailto://127.0.0.1:{port}/ops@example.org?from=a@example.org"}
        answer = observatory.desk.nightferry("run", "--night", "all", "--json", env=mute)
    assert (answer.code, answer.sheet().delivered) == (HELD, 6)
    (alert,) = observatory.ask("alerts", "--json").json()
    assert (alert["key"], alert["sent"]) == ("held/ganymede/2026-02-22", None)


def test_14_two_telescopes_in_one_archive_folder_are_counted_by_what_is_proven(observatory: Observatory) -> None:
    observatory.plant(lights(3), f"io/{NIGHT}")
    observatory.plant(lights(5), f"europa/{NIGHT}")
    share = f"smb://127.0.0.1:{observatory.server.port}/frames/{observatory.place}"
    observatory.configure("io")
    text = observatory.desk.config.read_text() + observatory.section("europa")
    for moon in ("io", "europa"):
        head, mark, tail = text.partition(f'preset = "speculoos-{moon}"\nsource = "{share}')
        text = f"{head}{mark}/{moon}{tail}"
    observatory.desk.config.write_text(text + '[books]\npath = "books"\n')
    (observatory.eso / "2026-02-22").mkdir()
    (observatory.eso / "2026-02-22/notes.txt").write_text("not ours")
    answer = observatory.run()
    assert answer.code == DONE, answer.err
    counted = {str(line["telescope"]): (line["seen"], line["delivered"]) for line in answer.json()}
    assert counted == {"io": (3, 3), "europa": (5, 5)}
    products = [path for path in observatory.files() if path.suffix == ".fits"]
    assert len(products) == 8
    for moon, count in (("io", 3), ("europa", 5)):
        log = observatory.desk.home / "books" / moon / "transfer_log.txt"
        assert log.read_text() == f"20260222 {count} 60.A-9009(D)\n"
    products[0].rename(products[0].with_name("other.fits"))
    audit = observatory.ask("audit")
    assert audit.code == HELD, "as many files as before, and one of them is not what was delivered"
    foreign, missing = sorted(observatory.mail.subjects())
    assert foreign == "nightferry: eso has 2 files that nobody delivered"
    assert missing.startswith("nightferry: eso has not what ")
    assert missing.endswith(" delivered: 1 missing")

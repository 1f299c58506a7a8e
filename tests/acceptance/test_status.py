"""The morning's glance: every telescope's last nights on one screen."""

from tests.acceptance.conftest import DONE, FAILED, HELD, MISCONFIGURED, Desk, Telescope


def test_one_screen_tells_what_was_taken_delivered_and_held_and_why(carried: Desk) -> None:
    answer = carried.nightferry("status")
    assert answer.code == HELD
    assert len(answer.out.splitlines()) < 24
    sheet = carried.balance()
    (line,) = (line for line in answer.out.splitlines() if line.startswith("vespera    2026-09-11"))
    words = line.split()
    assert words[2:7] == [str(number) for number in (sheet.seen - sheet.ignored, sheet.delivered, sheet.held, 0, 0)]
    assert "at verify: " in line
    assert "ago" in answer.out


def test_json_tells_the_same_and_the_age_of_the_last_proof(carried: Desk) -> None:
    answer = carried.nightferry("status", "vespera", "--last", "1", "--json")
    (told,) = answer.json()
    nights = told["nights"]
    assert isinstance(nights, list)
    (night,) = nights
    sheet = carried.balance()
    assert (night["seen"], night["delivered"], night["held"]) == (sheet.seen, sheet.delivered, sheet.held)
    assert sum(reason["frames"] for reason in night["reasons"]) == sheet.held
    assert told["last_proof"] is not None
    assert told["last_seen"] == told["last_look"]
    assert told["trouble"] == ""


def test_a_telescope_out_of_reach_is_told_with_its_reason(carried: Desk) -> None:
    carried.configure("ftp://127.0.0.1:1/user")
    assert carried.nightferry("run", "vespera", "--night", "all").code in {HELD, FAILED}
    (told,) = carried.nightferry("status", "--json").json()
    assert "127.0.0.1" in str(told["trouble"])
    assert str(told["last_seen"]) < str(told["last_look"])
    assert "cannot connect" in carried.nightferry("status").out


def test_status_before_the_first_night(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    answer = desk.nightferry("status")
    assert answer.code == DONE
    assert "never" in answer.out
    assert "no nights yet" in answer.out


def test_status_of_a_telescope_that_is_not_configured_is_refused(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    assert desk.nightferry("status", "vesper").code == MISCONFIGURED

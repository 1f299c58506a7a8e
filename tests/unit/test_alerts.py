"""Alerts: what is worth one, when it is told, and that it is told once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from nightferry.alerts import Facts, Limits, NightFacts, conditions_of, digest_of
from nightferry.core.alert import LEASE, RAISE_AGAIN, Alert, Condition, Kind, Past, turn
from nightferry.core.balance import Balance, Bin
from nightferry.core.night import Night
from nightferry.core.overview import Contact, NightLine, Products, Reason
from nightferry.ledger.sql import SqlLedger, open_ledger

EVENING = date(2026, 9, 11)
NIGHT = Night("callisto", EVENING)
SECOND = 1_000_000
NOW = 1_789_000_000 * SECOND
LIMITS = Limits(0.1, 600.0)
BROKEN = Condition("unreachable/callisto", True, "callisto cannot be reached", "no route to host", 600.0)
FINE = Condition("unreachable/callisto", active=False)
CHANNELS = ("env:MAIL", "env:CHAT")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def facts(balance: Balance | None = None, *reasons: Reason, **more: object) -> Facts:
    """Tell of a telescope that answers, with one night that is over."""
    night = NightFacts(
        NightLine(balance or Balance(NIGHT), reasons), over=True, begun_us=NOW - 10, ended_us=NOW, dark=True
    )
    contact = Contact("callisto", looked_us=NOW + 5, reached_us=NOW + 5)
    return replace(Facts(contact, [night], dark=False), **more)  # type: ignore[arg-type] # fields by name


def active(found: Facts, room: int = 10, wanted: int = 1) -> set[str]:
    return {one.key for one in conditions_of([found], room, wanted, LIMITS) if one.active}


# turning conditions into alerts ----------------------------------------------------------------------------------


def test_trouble_is_noticed_and_raised_only_when_it_lasts() -> None:
    assert turn(BROKEN, Past(), NOW) is Kind.NOTICED
    noticed = Past(Alert(1, BROKEN.key, Kind.NOTICED, "", "", NOW))
    assert turn(BROKEN, noticed, NOW + 599 * SECOND) is None
    assert turn(BROKEN, noticed, NOW + 600 * SECOND) is Kind.RAISED
    assert turn(FINE, noticed, NOW + 60 * SECOND) is Kind.PASSED


def test_what_is_raised_is_raised_once_and_resolved_once() -> None:
    raised = Past(Alert(1, BROKEN.key, Kind.RAISED, "", "", NOW), NOW)
    assert turn(BROKEN, raised, NOW + 999 * SECOND) is None
    assert turn(FINE, raised, NOW + 999 * SECOND) is Kind.RESOLVED
    assert turn(FINE, Past(Alert(2, BROKEN.key, Kind.RESOLVED, "", "", NOW), NOW), NOW) is None
    assert turn(replace(BROKEN, active=None), raised, NOW) is None


def test_trouble_that_comes_and_goes_is_raised_again_only_after_hours() -> None:
    hasty = replace(BROKEN, patience=0.0)
    resolved = Past(Alert(2, BROKEN.key, Kind.RESOLVED, "", "", NOW), NOW)
    assert turn(hasty, resolved, NOW + 60 * SECOND) is Kind.NOTICED
    noticed = Past(Alert(3, BROKEN.key, Kind.NOTICED, "", "", NOW + 60 * SECOND), NOW)
    assert turn(hasty, noticed, NOW + (RAISE_AGAIN - 1) * SECOND) is None
    assert turn(hasty, noticed, NOW + RAISE_AGAIN * SECOND) is Kind.RAISED


# what is worth one ------------------------------------------------------------------------------------------------


def test_a_good_night_is_worth_no_alert() -> None:
    assert active(facts(Balance(NIGHT, seen=10, delivered=10))) == set()


@pytest.mark.parametrize(
    ("why", "more"),
    [
        ("it is night there", {"dark": True}),
        ("7 frames are still there", {"waiting": 7}),
        ("it was there before", {"refused": True}),
    ],
)
def test_a_telescope_out_of_reach_is_told_when_that_loses_time(why: str, more: dict[str, object]) -> None:
    gone = Contact("callisto", looked_us=NOW + 9, reached_us=NOW + 5, trouble="no route to host")
    found = facts(None, contact=gone, **more)
    (one,) = (one for one in conditions_of([found], 10, 1, LIMITS) if one.key == "unreachable/callisto")
    assert one.active
    assert why in one.body
    assert "no route to host" in one.body


def test_a_telescope_that_is_off_by_day_is_no_news_and_no_end_of_an_alert() -> None:
    gone = Contact("callisto", looked_us=NOW + 9, reached_us=NOW + 5, trouble="no route to host")
    (one,) = (one for one in conditions_of([facts(None, contact=gone)], 10, 1, LIMITS) if "unreachable" in one.key)
    assert one.active is None


def test_a_night_in_which_nobody_reached_the_telescope_is_told() -> None:
    gone = Contact("callisto", looked_us=NOW + 9, reached_us=NOW - 99, trouble="no route to host")
    (one,) = (one for one in conditions_of([facts(None, contact=gone)], 10, 1, LIMITS) if "unreachable" in one.key)
    assert one.active
    assert "nobody knows whether the night was observed" in one.body


def test_three_answers_to_an_empty_night_and_only_one_is_quiet() -> None:
    nothing_observed = facts(Balance(NIGHT))
    assert active(nothing_observed) == set()
    assert digest_of(EVENING, [nothing_observed], [])[0] == "2026-09-11: nothing was observed"
    nothing_arrived = facts(Balance(NIGHT, seen=9, failed=9), Reason(Bin.FAILED, "pull", "cut off", 9))
    assert active(nothing_arrived) == {"silent/callisto/2026-09-11"}
    gone = Contact("callisto", looked_us=NOW + 9, reached_us=NOW - 99, trouble="the folder is not there")
    mount_failed = facts(Balance(NIGHT), contact=gone, refused=True)
    assert active(mount_failed) == {"unreachable/callisto"}
    title, body, well = digest_of(EVENING, [mount_failed], [])
    assert (title, well) == ("2026-09-11: nothing arrived", False)
    assert "it does not answer: the folder is not there" in body


def test_a_night_that_goes_on_is_not_called_silent() -> None:
    found = facts(Balance(NIGHT, seen=9, pending=9))
    assert active(replace(found, nights=[replace(found.nights[0], over=False)])) == set()


def test_held_frames_over_the_share_are_told_and_a_few_are_not() -> None:
    few = Reason(Bin.HELD, "verify", "truncated", 2)
    assert active(facts(Balance(NIGHT, seen=10, delivered=8, held=2), few)) == set()
    assert active(facts(Balance(NIGHT, seen=100, delivered=95, held=5), few)) == set()
    assert active(facts(Balance(NIGHT, seen=100, delivered=80, held=20), few)) == {"held/callisto/2026-09-11"}


def test_an_archive_that_refuses_is_told_once_for_all_telescopes() -> None:
    reason = Reason(Bin.FAILED, "deliver to eso", "no space is left", 4)
    one = facts(Balance(NIGHT, seen=10, delivered=6, failed=4), reason)
    found = [item for item in conditions_of([one, one], 10, 1, LIMITS) if item.active]
    assert [item.key for item in found] == ["archive/eso"]
    assert found[0].title == "archive eso takes nothing: 8 frames wait"


def with_cubes(found: Facts, *reasons: Reason) -> Facts:
    """Tell of a night whose cubes stand like that, and of one that is delivered."""
    counts = Counter({Bin.DELIVERED: 1})
    for one in reasons:
        counts[one.bin] += one.frames
    (night,) = found.nights
    return replace(found, nights=[replace(night, line=replace(night.line, products=Products(counts, reasons)))])


GOOD = Balance(NIGHT, seen=9, delivered=9)
HELD_CUBE = Reason(Bin.HELD, "validate", "no RA", 1)


def test_one_held_cube_is_told_at_once_and_the_digest_tells_it_on_its_first_line() -> None:
    night = with_cubes(facts(GOOD), HELD_CUBE)
    (one,) = (item for item in conditions_of([night], 10, 1, LIMITS) if item.active)
    assert (one.key, one.patience) == ("cubes/callisto/2026-09-11", 0)
    assert one.title == "callisto: 1 cube of 2026-09-11 is held"
    assert "1 held at validate: no RA" in one.body
    title, body, well = digest_of(EVENING, [night], [])
    assert (title, well) == ("2026-09-11: 9 of 9 frames delivered, 1 cube held", False)
    assert body.splitlines() == [
        "callisto: 9 of 9 delivered, 0.0 GB, 1 cube delivered, 1 cube held",
        "    1 cube held at validate: no RA",
    ]
    assert active(with_cubes(facts(GOOD))) == set()


def test_cubes_that_fail_are_told_when_it_lasts_and_at_an_archive_are_its_affair() -> None:
    night = with_cubes(facts(GOOD), Reason(Bin.FAILED, "cube", "no room", 2))
    (one,) = (item for item in conditions_of([night], 10, 1, LIMITS) if item.active)
    assert (one.title, one.patience) == ("callisto: 2 cubes of 2026-09-11 cannot be made", 600)
    both = with_cubes(facts(GOOD), HELD_CUBE, Reason(Bin.FAILED, "cube", "no room", 2))
    (one,) = (item for item in conditions_of([both], 10, 1, LIMITS) if item.active)
    assert one.title == "callisto: 1 cube of 2026-09-11 is held and 2 cubes of 2026-09-11 cannot be made"
    night = with_cubes(facts(GOOD), Reason(Bin.FAILED, "deliver to eso", "no space is left", 1))
    (one,) = (item for item in conditions_of([night], 10, 1, LIMITS) if item.active)
    assert (one.key, one.title) == ("archive/eso", "archive eso takes nothing: 1 cube waits")


def test_a_disk_with_no_room_for_another_night_is_told() -> None:
    good = facts(Balance(NIGHT, seen=1, delivered=1))
    assert active(good, room=100, wanted=99) == set()
    assert active(good, room=99, wanted=99) == {"disk/shelf"}
    assert active(good, room=-5, wanted=0) == {"disk/shelf"}


def test_a_bug_is_told_even_for_one_frame() -> None:
    bug = Reason(Bin.HELD, "verify", "a bug in nightferry: KeyError: 'x'", 1)
    assert active(facts(Balance(NIGHT, seen=10, delivered=9, held=1), bug)) == {"bug/callisto/2026-09-11"}


def test_the_digest_tells_every_telescope_and_what_still_stands() -> None:
    good = facts(
        Balance(NIGHT, seen=12, delivered=10, held=2, bytes=83_000_000_000), Reason(Bin.HELD, "verify", "torn", 2)
    )
    title, body, well = digest_of(
        EVENING, [good], [Alert(1, "disk/shelf", Kind.RAISED, "the disk is filling", "", NOW)]
    )
    assert title == "2026-09-11: 10 of 12 frames delivered, 1 alert stands"
    assert body.splitlines() == [
        "callisto: 10 of 12 delivered, 2 held, 83.0 GB",
        "    2 held at verify: torn",
        "",
        "Still so:",
        "- the disk is filling",
    ]
    assert not well
    assert digest_of(EVENING, [facts(Balance(NIGHT, seen=2, delivered=2))], [])[2]


# the outbox -------------------------------------------------------------------------------------------------------


def hasty(condition: Condition = BROKEN) -> Condition:
    return replace(condition, patience=0.0)


def test_an_alert_waits_for_each_channel_until_it_is_sent(ledger: SqlLedger) -> None:
    box = ledger.outbox
    (raised,) = box.follow([hasty()], CHANNELS, NOW)
    assert box.follow([hasty()], CHANNELS, NOW + 1) == []
    (letter,) = box.due("env:MAIL", NOW)
    assert letter.alert == raised
    assert box.begin(letter, NOW)
    box.answer(letter, "", NOW)
    assert box.due("env:MAIL", NOW + 10**12) == []
    assert [one.alert for one in box.due("env:CHAT", NOW)] == [raised]


def test_a_letter_that_failed_is_tried_again_later_and_later(ledger: SqlLedger) -> None:
    box = ledger.outbox
    box.follow([hasty()], CHANNELS, NOW)
    waits = []
    at = NOW
    for _ in range(4):
        (letter,) = box.due("env:MAIL", at)
        assert box.begin(letter, at)
        box.answer(letter, "refused", at)
        assert box.due("env:MAIL", at) == []
        assert [one.reason for one in box.due("env:MAIL", at, hurry=True)] == ["refused"]
        (after,) = (one for one in box.letters(9) if one.channel == "env:MAIL")
        waits.append(after.next_try_us - at)
        at = after.next_try_us
    assert all(one < other for one, other in pairwise(waits))


def test_a_letter_in_somebodys_hands_is_left_to_them_until_they_are_taken_for_dead(ledger: SqlLedger) -> None:
    box = ledger.outbox
    box.follow([hasty()], CHANNELS, NOW)
    (letter,) = box.due("env:MAIL", NOW)
    assert box.begin(letter, NOW)
    assert not box.begin(letter, NOW), "another process read the same letter at the same time"
    assert box.due("env:MAIL", NOW + LEASE * SECOND - 1, hurry=True) == []
    (again,) = box.due("env:MAIL", NOW + LEASE * SECOND)
    assert again.again
    assert not letter.again


def test_of_two_senders_at_once_one_gets_the_letter(ledger: SqlLedger) -> None:
    box = ledger.outbox
    box.follow([hasty()], CHANNELS, NOW)
    (letter,) = box.due("env:MAIL", NOW)
    got: list[bool] = []
    senders = [threading.Thread(target=lambda: got.append(box.begin(letter, NOW))) for _ in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(got) == [False] * 7 + [True]


def test_of_two_conductors_that_see_one_trouble_one_raises_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledgers = [open_ledger(url) for _ in range(4)]
    made: list[int] = []
    seers = [
        threading.Thread(target=lambda one=one: made.append(len(one.outbox.follow([hasty()], CHANNELS, NOW))))
        for one in ledgers
    ]
    for seer in seers:
        seer.start()
    for seer in seers:
        seer.join()
    assert sum(made) == 1
    assert sum(one.outbox.post(Alert(0, "digest/x", Kind.DIGEST, "", "", NOW, CHANNELS)) for one in ledgers) == 1
    for one in ledgers:
        one.close()


def test_what_stands_is_what_was_raised_and_not_resolved(ledger: SqlLedger) -> None:
    box = ledger.outbox
    box.follow([hasty(), Condition("disk/shelf", True, "filling")], (), NOW)
    assert [one.key for one in box.standing()] == [BROKEN.key, "disk/shelf"]
    (over,) = box.follow([FINE], CHANNELS, NOW + 3600 * SECOND)
    assert over.title == "over: callisto cannot be reached"
    assert over.body.startswith("It lasted from ")
    assert [one.key for one in box.standing()] == ["disk/shelf"]
    assert [one.channel for one in box.letters(9)] == [*CHANNELS, "", ""]


def test_nobody_is_told_what_passed_before_its_time(ledger: SqlLedger) -> None:
    box = ledger.outbox
    assert box.follow([BROKEN], CHANNELS, NOW) == []
    assert box.follow([FINE], CHANNELS, NOW + SECOND) == []
    assert box.letters(9) == []

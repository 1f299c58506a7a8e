"""The mailer's end: what is still sent, and what waits for the next time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightferry.alerts import Mailer, sending
from nightferry.core.alert import Condition
from nightferry.ledger.sql import SqlLedger, open_ledger
from tests.servers.mail_server import mail_server

BROKEN = Condition("unreachable/callisto", True, "callisto cannot be reached", "no route to host", 0.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def test_time_that_a_small_computer_needs_to_load_the_library_costs_no_alert(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, load = threading.Event(), sending._load

    def slow() -> None:
        with sending._LOADING:
            begun.set()
            time.sleep(3.5)
        load()

    monkeypatch.setattr(sending, "_load", slow)
    complaints: list[str] = []
    with mail_server() as server:
        ledger.outbox.follow([BROKEN], [server.url()], time.time_ns() // 1000)
        mailer = Mailer(ledger.outbox, [server.url()], str, complaints.append)
        with mailer:
            assert begun.wait(60)
            mailer.close(patience=3.0)
            assert server.subjects() == ["nightferry: callisto cannot be reached"], complaints


def test_service_that_never_answers_keeps_the_end_waiting_no_longer_than_its_patience(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def silent(*_: object) -> None:
        asked.set()
        answer.wait(60)

    monkeypatch.setattr("nightferry.alerts.mailer.send", silent)
    ledger.outbox.follow([BROKEN], ["mailto://nobody"], time.time_ns() // 1000)
    mailer = Mailer(ledger.outbox, ["mailto://nobody"], str, print)
    with mailer:
        assert asked.wait(60)
        mailer.close(patience=0.0)
        assert not answer.is_set(), "the end came first"
        answer.set()
    (letter,) = ledger.outbox.letters(1)
    assert letter.alert.title == "callisto cannot be reached", "it is still known"

"""Processes that are killed, and processes that write side by side.

Run as a program this file is such a process: it records batch after batch and says of each when it is durable.
"""

import random
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from nightferry.core.balance import Expectation
from nightferry.core.frame import Sighting
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.ledger.sql import SqlLedger, open_ledger

NIGHT = Night("callisto", date(2026, 9, 12))
FRAMES = [Sighting(NIGHT, StorePath(f"{number:02d}.fits"), 2880, 1, 1) for number in range(16)]
ROUTE = Expectation(("pull",), ("eso",))
ROUNDS, BATCHES = 20, 12


def batch(writer: str, number: int) -> list[Receipt]:
    """Make receipts that say which writer recorded them in which of its batches."""
    deliver = number % 3 == 2
    return [
        Receipt(
            one.id,
            NIGHT,
            "deliver" if deliver else "pull",
            "1",
            (Outcome.FAILED, Outcome.DONE, Outcome.DONE)[number % 3],
            target="eso" if deliver else "",
            started_us=number,
            host=writer,
        )
        for one in FRAMES
    ]


def write(url: str, writer: str, batches: int) -> None:
    """Sight and record, and say of each batch when it is durable."""
    ledger = open_ledger(url)
    ledger.expect("callisto", ROUTE)
    ledger.sight(FRAMES)
    for number in range(batches):
        ledger.record(batch(writer, number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
    ledger.close()


def start(url: str, writer: str, batches: int) -> subprocess.Popen[str]:
    program = [sys.executable, "-W", "error", __file__, url, writer, str(batches)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True)


def recorded(ledger: SqlLedger) -> dict[str, list[int]]:
    """Tell which batches of which writer are there, after checking that each is there whole or not at all."""
    told = [[(receipt.host, receipt.started_us) for receipt in account.receipts] for account in ledger.accounts()]
    assert all(one == told[0] for one in told)
    found: dict[str, list[int]] = {}
    for writer, number in told[0] if told else []:
        found.setdefault(writer, []).append(number)
    return found


def assert_consistent(ledger: SqlLedger) -> None:
    standing = ledger.accounts()
    assert all(balance.balanced for balance in ledger.balances())
    ledger.rebuild()
    assert ledger.accounts() == standing


def kill_after(process: subprocess.Popen[str], lines: int, delay: float) -> int:
    """Kill a writer some time after so many answers, and tell how many batches it had answered for."""
    assert process.stdout is not None
    with process, process.stdout:
        answered = sum(1 for _ in zip(range(lines), process.stdout, strict=False))
        time.sleep(delay)
        process.kill()
        return answered + sum(1 for _ in process.stdout)


def test_killed_writer_loses_nothing_that_it_answered_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    chance = random.Random(20260912)  # noqa: S311 - chooses moments, not secrets
    answered: dict[str, int] = {}
    for writer in map(str, range(ROUNDS)):
        process = start(url, writer, 10_000)
        answered[writer] = kill_after(process, chance.randrange(BATCHES), chance.uniform(0, 0.02))
        ledger = open_ledger(url)
        there = recorded(ledger)
        for who, batches in answered.items():
            kept = there.get(who, [])
            assert kept == list(range(len(kept)))
            assert batches <= len(kept) <= batches + 1  # the last may be durable before it could be said
        assert_consistent(ledger)
        ledger.close()
    assert sum(answered.values()) > ROUNDS


def test_two_processes_may_write_side_by_side(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    writers = [start(url, writer, BATCHES) for writer in ("one", "two")]
    answers = [process.communicate(timeout=120)[0].split() for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    assert answers == [[str(number) for number in range(BATCHES)]] * 2
    ledger = open_ledger(url)
    assert recorded(ledger) == {"one": list(range(BATCHES)), "two": list(range(BATCHES))}
    assert_consistent(ledger)
    ledger.close()


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], int(sys.argv[3]))

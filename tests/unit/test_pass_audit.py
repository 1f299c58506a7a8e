"""Auditing: every byte in the archives is read again, and what is not as it was is found."""

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from nightferry.core.audit import Finding, Verdict
from nightferry.core.errors import Unreachable
from nightferry.core.receipt import Outcome
from nightferry.core.store import Store, StorePath
from nightferry.passes.audit import audit
from nightferry.steps.readback import read_back
from nightferry.stores.memory import MemoryFile
from tests.unit.conftest import NIGHT, THEN_US, Bench, Far, frame_bytes, light, name_of


@pytest.fixture
def carried(bench: Bench) -> Bench:
    """Three frames in the library."""
    for number in (1, 2, 3):
        bench.telescope.plant(light(number), frame_bytes(number))
    bench.carry()
    return bench


def audited(
    bench: Bench, *, sample: float = 1.0, salt: str = "", archives: Mapping[str, Store] | None = None
) -> list[Finding]:
    route = bench.route(archives=archives)
    return list(audit(route, bench.ledger, [NIGHT.date], sample=sample, salt=salt, stop=threading.Event()))


def flip(bench: Bench, number: int, at: int = 3000) -> None:
    data = bytearray(bench.library.content()[name_of(number)])
    data[at] ^= 1
    bench.library.disk.files[name_of(number)] = MemoryFile(bytes(data), THEN_US)


def test_what_is_as_it_was_is_good_and_proven_anew(carried: Bench) -> None:
    assert [finding.verdict for finding in audited(carried)] == [Verdict.GOOD] * 3
    assert carried.told(light(1))[-1] == ("audit", "done")
    assert set(carried.bins().values()) == {"delivered"}


@pytest.mark.parametrize("at", [0, 2879, 2880, 5759])
def test_one_flipped_bit_is_found_wherever_it_is(carried: Bench, at: int) -> None:
    flip(carried, 2, at)
    found = {finding.proof.path: finding.verdict for finding in audited(carried)}
    assert found == {light(1): Verdict.GOOD, light(2): Verdict.DAMAGED, light(3): Verdict.GOOD}
    assert carried.bins() == {light(1): "delivered", light(2): "held", light(3): "delivered"}


def test_a_missing_file_is_found(carried: Bench) -> None:
    del carried.library.disk.files[name_of(3)]
    (finding,) = (finding for finding in audited(carried) if finding.verdict is not Verdict.GOOD)
    assert (finding.verdict, finding.archive, finding.proof.path) == (Verdict.MISSING, "library", light(3))
    assert carried.bins()[light(3)] == "held"


def test_a_frame_that_is_right_again_is_delivered_again(carried: Bench) -> None:
    flip(carried, 1)
    audited(carried)
    flip(carried, 1)
    audited(carried)
    assert carried.bins()[light(1)] == "delivered"


def test_a_frame_that_is_delivered_anew_while_it_is_read_is_not_called_damaged(
    carried: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(carried, 1)
    flip(carried, 2)
    audited(carried)
    assert carried.bins()[light(1)] == "held"

    def read_and_deliver(store: Store, names: Sequence[StorePath]) -> list[object]:
        answers: list[object] = list(read_back(store, names))
        flip(carried, 1)
        again = carried.account(light(1)).receipts[-2]
        assert again.step == "deliver"
        carried.ledger.record([replace(again, started_us=again.started_us + 1)])
        return answers

    monkeypatch.setattr(sys.modules[audit.__module__], "read_back", read_and_deliver)
    found = {finding.proof.path: finding.verdict for finding in audited(carried)}
    assert found == {light(2): Verdict.DAMAGED, light(3): Verdict.GOOD}
    assert carried.bins() == {light(1): "delivered", light(2): "held", light(3): "delivered"}


def test_an_archive_out_of_reach_is_no_finding(carried: Bench) -> None:
    carried.library.wire.lives = 0
    with pytest.raises(Unreachable):
        audited(carried)
    assert set(carried.bins().values()) == {"delivered"}


def test_a_file_that_cannot_be_read_is_not_called_damaged(carried: Bench) -> None:
    carried.library.wire.cut = 100
    assert {finding.verdict for finding in audited(carried)} == {Verdict.UNREADABLE}
    assert carried.account(light(1)).receipts[-1].outcome is Outcome.FAILED
    assert set(carried.bins().values()) == {"delivered"}


def test_each_archive_is_read(carried: Bench) -> None:
    vault = Far("memory:vault")
    archives = {"library": carried.library.store, "vault": vault.store}
    carried.carry(route=carried.route(archives=archives))
    assert [finding.archive for finding in audited(carried, archives=archives)] == ["library"] * 3 + ["vault"] * 3


def test_samples_with_other_salts_reach_every_frame_in_time(bench: Bench) -> None:
    for number in range(1, 41):
        bench.telescope.plant(light(number), frame_bytes(number))
    bench.carry()
    rounds = [{finding.proof.path for finding in audited(bench, sample=0.25, salt=str(day))} for day in range(40)]
    assert len(set().union(*rounds)) == 40
    assert 5 <= sum(map(len, rounds)) / 40 <= 15
    again = {finding.proof.path for finding in audited(bench, sample=0.25, salt="0")}
    assert again == rounds[0]


def test_an_audit_that_is_stopped_ends_at_the_next_batch(carried: Bench) -> None:
    stop = threading.Event()
    stop.set()
    assert list(audit(carried.route(), carried.ledger, None, stop=stop)) == []

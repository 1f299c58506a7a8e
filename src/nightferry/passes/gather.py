"""Gathering: the one barrier of a route, where a night's frames become products of many, such as cubes.

The gate opens when nothing of a night is left to do for the machine, or a deadline has passed, and in a watch only when
the night is over. What is gathered answers for itself under its own identity, with the same steps, back-offs and
outcomes as a frame; the balance of the night counts raw frames only. Members are told in their own histories.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from nightferry.core.balance import Bin, Expectation, OpenStage, dropped, open_stages, overruled, stage_name
from nightferry.core.errors import Held, NightferryError, TryAgain
from nightferry.core.frame import Fact, Frame, FrameId, fingerprint
from nightferry.core.ledger import Account, Ledger, proof_of
from nightferry.core.night import evening_at
from nightferry.core.progress import Onlooker
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import Gather, Group, Grouping, Lane, Work
from nightferry.core.store import StorePath
from nightferry.passes.attempt import attempt, host_name, receipt_of
from nightferry.passes.route import Route, now_us
from nightferry.passes.sun import night_hours
from nightferry.steps.fetchback import fetch_back
from nightferry.steps.products import product_of
from nightferry.steps.pull import described_frame


def gather(
    route: Route,
    ledger: Ledger,
    evenings: Sequence[date] | None,
    *,
    patient: bool,
    onlooker: Onlooker,
    stop: threading.Event,
) -> NightferryError | None:
    """Make and deliver what is to be gathered of whole nights; tell what kept it from being done.

    ``patient`` leaves a night alone that is not over, and honours back-offs.
    """
    trouble: NightferryError | None = None
    if route.gather is None:
        return None
    for balance in ledger.balances(route.telescope.name, evenings):
        whole = balance.closed or _is_overdue(route, balance.night.date)
        if not whole or (patient and _goes_on(route, balance.night.date)):
            continue
        accounts = ledger.accounts(route.telescope.name, [balance.night.date], [Bin.DELIVERED, Bin.HELD])
        members = {frame.id: (frame, account) for account in accounts if (frame := _member(route, account)) is not None}
        groups, left = route.gather.groups([frame for frame, _ in members.values()])
        _leave_out(route.gather, ledger, onlooker, [(members[frame.id][1], reason) for frame, reason in left])
        for item in _items(route.gather, ledger, groups, members):
            if stop.is_set():
                return trouble
            trouble = _advance(route, ledger, item, onlooker, patient=patient) or trouble
    return trouble


def _goes_on(route: Route, evening: date) -> bool:
    """Whether the sun has not risen yet after the night; without a site the machine's noon ends it."""
    return now_us() < night_hours(evening, route.telescope.site).end_us


_LONGEST_WAIT = 3e9  # seconds: a century, which dates can still be reckoned with


def _is_overdue(route: Route, evening: date) -> bool:
    """Whether a night ended, at noon, longer ago than its gate waits; what comes later makes the next edition."""
    if route.deadline is None:
        return False
    ended = datetime.now(UTC) - timedelta(seconds=min(route.deadline, _LONGEST_WAIT))
    return evening_at(ended, route.telescope.layout.longitude) > evening


@dataclass(frozen=True, slots=True)
class _Item:
    """One product of many frames: its identity and group, the receipts about it, and its members' raw frames."""

    identity: FrameId
    group: Group
    receipts: tuple[Receipt, ...]
    accounts: Mapping[FrameId, Account]


def _items(
    step: Gather, ledger: Ledger, groups: Sequence[Group], members: Mapping[FrameId, tuple[Frame, Account]]
) -> Iterator[_Item]:
    """Tell of each group of a night's delivered frames what is known of it."""
    for group in groups:
        identity = FrameId(fingerprint(step.name, step.version, group.key, *(frame.id for frame in group.members)))
        ours = {frame.id: members[frame.id][1] for frame in group.members}
        before = {
            str(receipt.proof["in"])
            for account in ours.values()
            for receipt in account.receipts
            if receipt.step == step.name and receipt.outcome is Outcome.DONE and receipt.proof.get("key") == group.key
        }
        edition = len(before - {identity}) + 1
        yield _Item(identity, replace(group, edition=edition), tuple(ledger.history(identity)), ours)


def _leave_out(step: Gather, ledger: Ledger, onlooker: Onlooker, left: Sequence[tuple[Account, str]]) -> None:
    """Tell frames' histories, once, that the settings leave them out of every product of many."""
    told: list[Receipt] = []
    names: dict[str, list[str]] = {}
    for account, reason in left:
        last = next((receipt for receipt in reversed(account.receipts) if receipt.step == step.name), None)
        said = f"left out: {reason}"
        if last is None or last.reason != said:
            seen = account.sighting
            receipt = Receipt(seen.id, seen.night, step.name, step.version, Outcome.DONE, said)
            told.append(replace(receipt, proof={"left_out": True}, started_us=now_us(), host=host_name()))
            names.setdefault(said, []).append(seen.path)
    ledger.record(told)
    for said, paths in names.items():
        more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        onlooker.note(f"{step.name}: {paths[0]}{more}: {said}")


def _member(route: Route, account: Account) -> Frame | None:
    """Tell the frame as it was delivered: the product of the works, or the raw frame; None for one that was not.

    A frame that was delivered everywhere stays a member when an audit finds a copy damaged: its pixels are what they
    were, and a cube without it would be no better.
    """
    if any(proof_of(account, archive) is None for archive in route.deliveries):
        return None
    raw = described_frame(account.sighting, account.receipts, route.shelf)
    delivered = {receipt.digest for receipt in account.receipts if receipt.step == "deliver"}
    if raw is None or raw.digest in delivered:
        return raw
    for receipt in reversed(account.receipts):
        if receipt.digest in delivered and (product := product_of(route.shelf, raw, receipt)) is not None:
            return product
    return None


def _advance(route: Route, ledger: Ledger, item: _Item, onlooker: Onlooker, *, patient: bool) -> NightferryError | None:
    """Take one product as far as it comes: make it, have it judged, deliver it."""
    assert route.gather is not None  # noqa: S101 - the caller asked
    if dropped(item.receipts) is not None:
        return None
    judges = [work for work in route.works if work.judges]
    steps = (route.gather.name, *(judge.name for judge in judges))
    versions = {route.gather.name: route.gather.version} | {judge.name: judge.version for judge in judges}
    versions |= {stage_name("deliver", name): step.version for name, step in route.deliveries.items()}
    expected = Expectation(steps, tuple(route.deliveries), versions)
    now = now_us()
    stages = open_stages(item.receipts, expected)
    due = [stage for stage in stages if stage.standing.due(now, retry=not patient)]
    if not due:
        return _waiting(item, stages)
    made = [receipt for receipt in item.receipts if receipt.step == route.gather.name]
    done = next((receipt for receipt in reversed(made) if receipt.outcome is Outcome.DONE), None)
    product = route.gather.recall(item.group, done) if done is not None else None
    if product is None or due[0].step != "deliver":
        group = replace(item.group, memory=dict(done.proof) if done else {})
        asked = [judge for judge in judges if judge.name not in overruled(item.receipts)]
        receipts, product = _make(route, route.gather, asked, replace(item, group=group))
        _record(ledger, onlooker, item, receipts)
        if product is None:
            return _trouble(receipts[-1])
    archives = [stage.target for stage in due if stage.step == "deliver"] or list(route.deliveries)
    receipts = [receipt for archive in archives for receipt in _deliver(route, archive, product, item)]
    _record(ledger, onlooker, item, receipts)
    bad = [receipt for receipt in receipts if receipt.outcome is not Outcome.DONE]
    if not bad and not any(stage.step == "deliver" and stage not in due for stage in stages):
        product.file.unlink(missing_ok=True)
    return _trouble(bad[0]) if bad else None


def _waiting(item: _Item, stages: Sequence[OpenStage]) -> NightferryError | None:
    """Tell of a product that waits for a person, or for a back-off to end, on every pass that comes by it."""
    for stage in stages:
        text = f"{item.group.key}: {stage.standing.reason}"
        return Held(text) if stage.standing.bin is Bin.HELD else TryAgain(text)
    return None


def _make(route: Route, step: Gather, judges: Sequence[Work], item: _Item) -> tuple[list[Receipt], Frame | None]:
    """Bring the members to the shelf, make the product, and have it judged."""
    started = now_us()
    first = item.group.members[0]
    try:
        _restock(route, item)
        assert route.crew is not None  # noqa: S101 - a route that gathers has one
        answers = route.crew.submit(make_and_judge, step, tuple(judges), item.group, item.identity).result()
    except NightferryError as err:
        outcome = Outcome.HELD if isinstance(err, Held) else Outcome.FAILED
        answers = [(0, Result(first, outcome, str(err)))]
    except BrokenExecutor:
        answers = [(0, Result(first, Outcome.BROKEN, "the worker process died of this product, twice"))]
    stages = (step, *judges)
    facts: dict[str, Fact] = {
        "key": item.group.key, "edition": item.group.edition, "frames": len(item.group.members),
    }  # fmt: skip
    answers[0] = 0, replace(answers[0][1], proof=facts | dict(answers[0][1].proof))
    receipts = [receipt_of(result, stages[place], started, frame=item.identity) for place, result in answers]
    last = answers[-1][1]
    good = len(answers) == len(stages) and last.outcome is Outcome.DONE
    return receipts, last.product if good else None


def make_and_judge(step: Gather, judges: Sequence[Work], group: Group, identity: FrameId) -> list[tuple[int, Result]]:
    """Make a product and have it judged; the crew's task. It ends with the first that does not say done."""
    maker = _Once(step, group, identity, step.name, step.version)
    answers = [(0, attempt(maker, [group.members[0]]).results[0])]
    for place, judge in enumerate(judges, 1):
        product = answers[-1][1].product
        if answers[-1][1].outcome is not Outcome.DONE or product is None:
            break
        answers.append((place, attempt(judge, [product]).results[0]))
    return answers


@dataclass(frozen=True, slots=True)
class _Once:
    """A gathering step called once, in a step's clothes, so that `attempt` answers for whatever happens."""

    step: Gather
    group: Group
    identity: FrameId
    name: str
    version: str
    target: str = ""
    lane: Lane = Lane.CPU
    grouping: Grouping = Grouping.CUBE

    def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
        """Make the product; the batch is the first member alone."""
        began = time.perf_counter()
        result = self.step(self.group, self.identity)
        yield replace(result, source=batch[0], seconds=time.perf_counter() - began)


def _restock(route: Route, item: _Item) -> None:
    """Fetch those members back from an archive that are on the shelf no more."""
    for frame in item.group.members:
        try:
            if frame.file.stat().st_size == frame.size:
                continue
        except OSError:
            pass
        route.shelf.require_room(frame.size)
        for receipt in item.accounts[frame.id].receipts:
            name, delivery = receipt.proof.get("name"), route.deliveries.get(receipt.target)
            if receipt.step == "deliver" and receipt.digest == frame.digest and delivery and isinstance(name, str):
                fetch_back(delivery.store, StorePath(name), frame.digest, frame.file)
                break
        else:
            raise TryAgain(f"{frame.name} is neither on the shelf nor in an archive of this route")


def _deliver(route: Route, archive: str, product: Frame, item: _Item) -> Iterator[Receipt]:
    step, started = route.deliveries[archive], now_us()
    for result in attempt(step, [product]).results:
        yield receipt_of(result, step, started, frame=item.identity)


def _record(ledger: Ledger, onlooker: Onlooker, item: _Item, receipts: Sequence[Receipt]) -> None:
    """Write down what became of a product, and in its members' histories that it has them, or waits for a person."""
    told = list(receipts)
    made = receipts[0] if receipts else None
    if made is not None and not made.target and made.outcome is not Outcome.FAILED:
        proof: dict[str, Fact] = {"in": item.identity, "key": item.group.key, "edition": item.group.edition}
        if "name" in made.proof:
            proof["name"] = made.proof["name"]
        told += [
            replace(made, frame=account.sighting.id, digest=None, proof=proof, seconds=0.0, host=host_name())
            for account in item.accounts.values()
        ]
    ledger.record(told)
    for receipt in receipts:
        where = stage_name(receipt.step, receipt.target)
        onlooker.note(f"{item.group.key}: {where}: {receipt.outcome}{f': {receipt.reason}' if receipt.reason else ''}")


def _trouble(receipt: Receipt) -> NightferryError:
    text = f"{stage_name(receipt.step, receipt.target)}: {receipt.reason}"
    return TryAgain(text) if receipt.outcome is Outcome.FAILED else Held(text)

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
from nightferry.core.ledger import Account, Ledger, proof_of, proven
from nightferry.core.night import evening_at
from nightferry.core.product import Product
from nightferry.core.progress import Onlooker
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import DELIVER, JUDGES, Gather, Group, Work
from nightferry.core.store import StorePath
from nightferry.core.sun import night_hours
from nightferry.core.version import Version
from nightferry.passes.attempt import attempt
from nightferry.passes.receipts import host_name, noted, now_us, receipt_of
from nightferry.passes.route import Route
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
    """Yield what is known of each group of a night's delivered frames.

    A product is known by its group and members, whatever the version of the step. Where other settings would only sort
    members anew that are in delivered products already, those products stay as they are.
    """
    settled: dict[FrameId, _Item] = {}
    for group in groups:
        ours = {frame.id: members[frame.id][1] for frame in group.members}
        item = _known(step, ledger, group, ours)
        others = None if item.receipts else _sorted_before(step, ledger, group, members)
        if others is None:
            yield item
        else:
            settled |= {other.identity: other for other in others}
    yield from settled.values()


def _known(step: Gather, ledger: Ledger, group: Group, ours: Mapping[FrameId, Account]) -> _Item:
    """Return what is known of a group: by the product that its members are in, or by its identity."""
    before = {product for account in ours.values() for product in _products_of(step, account, group.key, Outcome.DONE)}
    inside = [list(_products_of(step, account, group.key)) for account in ours.values()]
    in_all = [product for product in reversed(inside[0]) if all(product in products for products in inside)]
    frames = [frame.id for frame in group.members]
    identity = FrameId(fingerprint(step.name, group.key, *frames))
    former = FrameId(fingerprint(step.name, step.former, group.key, *frames))
    for known in dict.fromkeys((identity, former, *in_all)):
        if not (receipts := tuple(ledger.history(known))):
            continue
        made = Product(known, group.members[0].night, receipts)
        if made.frames == len(frames):
            return _Item(known, replace(group, edition=made.edition), receipts, ours)
    return _Item(identity, replace(group, edition=len(before) + 1), (), ours)


def _products_of(step: Gather, account: Account, key: str, outcome: Outcome | None = None) -> Iterator[FrameId]:
    """Yield the products of a key that a frame was put into, oldest first; without an outcome held ones, too."""
    for receipt in account.receipts:
        if receipt.step == step.name and receipt.proof.get("key") == key and outcome in {None, receipt.outcome}:
            yield FrameId(str(receipt.proof["in"]))


def _sorted_before(
    step: Gather, ledger: Ledger, group: Group, members: Mapping[FrameId, tuple[Frame, Account]]
) -> list[_Item] | None:
    """Return the delivered products of other settings that all of a group's members are in; None where any is in none.

    Those of which other members are not at hand today are left alone.
    """
    found: dict[FrameId, _Item | None] = {}
    for frame in group.members:
        last = _last_product(step, members[frame.id][1])
        if last is None or Version(step.version, step.former).counts(last.version):
            return None
        identity = FrameId(str(last.proof["in"]))
        if identity in found:
            continue
        inside = [(frame, account) for frame, account in members.values() if _is_in(step, account, identity)]
        product = Product(identity, frame.night, tuple(ledger.history(identity)))
        if not product.delivered:
            return None
        whole = Group(product.key, tuple(frame for frame, _ in inside), product.edition)
        item = _Item(identity, whole, product.receipts, {frame.id: account for frame, account in inside})
        found[identity] = item if len(inside) == product.frames else None
    return [item for item in found.values() if item is not None]


def _last_product(step: Gather, account: Account) -> Receipt | None:
    """Return the receipt of the last product that a frame was put into."""
    put = (receipt for receipt in reversed(account.receipts) if receipt.step == step.name and "in" in receipt.proof)
    return next(put, None)


def _is_in(step: Gather, account: Account, product: FrameId) -> bool:
    return any(receipt.step == step.name and receipt.proof.get("in") == product for receipt in account.receipts)


def _leave_out(step: Gather, ledger: Ledger, onlooker: Onlooker, left: Sequence[tuple[Account, str]]) -> None:
    """Tell frames' histories, once, that the settings leave them out of every product of many."""
    told: list[Receipt] = []
    names: dict[str, list[str]] = {}
    for account, reason in left:
        last = next((receipt for receipt in reversed(account.receipts) if receipt.step == step.name), None)
        said = f"left out: {reason}"
        if last is None or last.reason != said:
            seen = account.sighting
            out = noted(
                seen.id, seen.night, step.name, Outcome.DONE, said, version=step.version, proof={"left_out": True}
            )
            told.append(out)
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
    delivered = {receipt.digest for receipt in account.receipts if receipt.step == DELIVER}
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
    judges = [work for work in route.works if work.name in JUDGES]
    steps = (route.gather.name, *(judge.name for judge in judges))
    versions = {route.gather.name: route.gather.version} | {judge.name: judge.version for judge in judges}
    versions |= {stage_name(DELIVER, name): step.version for name, step in route.deliveries.items()}
    former = {route.gather.name: route.gather.former} | {judge.name: judge.former for judge in judges}
    expected = Expectation(steps, tuple(route.deliveries), versions, former)
    now = now_us()
    stages = open_stages(item.receipts, expected)
    due = [stage for stage in stages if stage.standing.due(now, retry=not patient)]
    if not due:
        return _waiting(item, stages)
    made = [receipt for receipt in item.receipts if receipt.step == route.gather.name]
    done = next((receipt for receipt in reversed(made) if receipt.outcome is Outcome.DONE), None)
    product = _as_made(route, route.gather, item, done) if done and due[0].step == DELIVER else None
    if product is None:
        group = replace(item.group, memory=dict(done.proof) if done else {})
        asked = [judge for judge in judges if judge.name not in overruled(item.receipts)]
        receipts, product = _make(route, route.gather, asked, replace(item, group=group))
        _record(ledger, onlooker, item, receipts)
        if product is None:
            return _trouble(receipts[-1])
    archives = [stage.target for stage in due if stage.step == DELIVER] or list(route.deliveries)
    receipts = [receipt for archive in archives for receipt in _deliver(route, archive, product, item)]
    _record(ledger, onlooker, item, receipts)
    bad = [receipt for receipt in receipts if receipt.outcome is not Outcome.DONE]
    if not bad and not any(stage.step == DELIVER and stage not in due for stage in stages):
        product.file.unlink(missing_ok=True)
    return _trouble(bad[0]) if bad else None


def _as_made(route: Route, step: Gather, item: _Item, done: Receipt) -> Frame | None:
    """Return a product as it was made, from the shelf or from an archive; None when it must be made again."""
    product = step.recall(item.group, done)
    if product is None or _is_here(product):
        return product
    for archive, delivery in route.deliveries.items():
        told = proven(item.receipts, archive)
        name = told.delivery.proof.get("name") if told.delivery is not None and not told.doubt else None
        if isinstance(name, str):
            route.shelf.require_room(product.size)
            try:
                fetch_back(delivery.store, StorePath(name), product.digest, product.file)
            except NightferryError:  # another archive may have it, and an audit tells of this one
                continue
            return product
    return None


def _is_here(frame: Frame) -> bool:
    try:
        return frame.file.stat().st_size == frame.size
    except OSError:
        return False


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

    def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
        """Make the product; the batch is the first member alone."""
        began = time.perf_counter()
        result = self.step(self.group, self.identity)
        yield replace(result, source=batch[0], seconds=time.perf_counter() - began)


def _restock(route: Route, item: _Item) -> None:
    """Fetch those members back from an archive that are on the shelf no more."""
    for frame in item.group.members:
        if _is_here(frame):
            continue
        route.shelf.require_room(frame.size)
        for receipt in item.accounts[frame.id].receipts:
            name, delivery = receipt.proof.get("name"), route.deliveries.get(receipt.target)
            if receipt.step == DELIVER and receipt.digest == frame.digest and delivery and isinstance(name, str):
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

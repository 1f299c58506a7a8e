"""Grouping: the one barrier of a route, where a night's frames become frames of many, such as cubes.

The gate opens when nothing of a night is left to do for the machine, or a deadline has passed, and in a watch only when
the night is over. What is made of many is carried as any other frame, under its own identity; the balance of the night
counts raw frames only. Members are told in their own histories.
"""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from nightferry.core.balance import Bin, OpenStage, dropped, open_stages, stage_name
from nightferry.core.errors import Held, NightferryError, TryAgain
from nightferry.core.frame import Frame, FrameId, fingerprint, made_here
from nightferry.core.ledger import Account, Ledger, made_account, proof_of
from nightferry.core.night import evening_at
from nightferry.core.progress import Onlooker
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import DELIVER, Group, GroupStep
from nightferry.core.store import StorePath
from nightferry.core.sun import night_hours
from nightferry.core.version import Version
from nightferry.disk.errors import translated
from nightferry.passes.carry import carry
from nightferry.passes.item import Item, MadeOf
from nightferry.passes.receipts import noted, now_us
from nightferry.passes.route import Route
from nightferry.steps.products import product_of
from nightferry.steps.pull import described_frame


def carry_groups(
    route: Route,
    ledger: Ledger,
    evenings: Sequence[date] | None,
    *,
    patient: bool,
    onlooker: Onlooker,
    stop: threading.Event,
    shut: Collection[str] = (),
) -> NightferryError | None:
    """Carry what is to be made of whole nights; return what keeps some of it from being done.

    ``patient`` leaves a night alone that is not over, and honours back-offs; nothing is delivered to archives that are
    ``shut``.
    """
    step = route.group_step
    if step is None:
        return None
    due: list[Item] = []
    waiting: list[NightferryError] = []

    def items() -> Iterator[Item]:
        for item in group_items(route, step, ledger, evenings, patient=patient, onlooker=onlooker):
            stages = open_stages(item.receipts, route.group_expectation)
            wanted = [stage for stage in stages if stage.standing.due(now_us(), retry=not patient)]
            if wanted:
                archives = tuple(stage.target for stage in wanted if stage.step == DELIVER) or item.archives
                due.append(replace(item, archives=archives))
                yield due[-1]
            else:
                waiting.extend(_troubles(item, stages))

    tally = carry(route, ledger, items(), onlooker=onlooker, stop=stop, retry=not patient, shut=shut)
    for item in due:
        receipts = tuple(ledger.history(item.sighting.id))
        stages = open_stages(receipts, route.group_expectation)
        if stages:
            waiting.extend(_troubles(item, stages))
        else:
            _leave_shelf(step, item, receipts)
    return tally.trouble or (waiting[-1] if waiting else None)


def group_items(
    route: Route,
    step: GroupStep,
    ledger: Ledger,
    evenings: Sequence[date] | None,
    *,
    patient: bool,
    onlooker: Onlooker,
) -> Iterator[Item]:
    """Yield all that is to be made of the frames of nights whose gate is open, done or not."""
    for balance in ledger.balances(route.telescope.name, evenings):
        whole = balance.closed or _is_overdue(route, balance.night.date)
        if not whole or (patient and _goes_on(route, balance.night.date)):
            continue
        accounts = ledger.accounts(route.telescope.name, [balance.night.date], [Bin.DELIVERED, Bin.HELD])
        members = {frame.id: (frame, account) for account in accounts if (frame := _member(route, account)) is not None}
        groups, left = step.groups([frame for frame, _ in members.values()])
        _leave_out(step, ledger, onlooker, [(members[frame.id][1], reason) for frame, reason in left])
        for item in _items(route, step, ledger, groups, members):
            if dropped(item.receipts) is None:
                yield item


def _troubles(item: Item, stages: Sequence[OpenStage]) -> Iterator[NightferryError]:
    """Yield what a frame of many waits for, a person or the end of a back-off: each pass that comes by tells it."""
    for stage in stages[:1]:
        text = f"{stage_name(stage.step, stage.target)}: {item.sighting.path}: {stage.standing.reason}"
        if stage.standing.bin is Bin.HELD:
            yield Held(text)
        elif stage.standing.bin is Bin.FAILED:
            yield TryAgain(text)


def _leave_shelf(step: GroupStep, item: Item, receipts: Sequence[Receipt]) -> None:
    """Take a frame of many from the shelf, which every archive has now."""
    assert item.made_of is not None  # noqa: S101 - all of these are
    made = [one for one in receipts if one.step == step.name and one.outcome is Outcome.DONE]
    if made and (product := step.recall(item.made_of.group, made[-1])) is not None:
        with translated(product.file, "the shelf"):
            product.file.unlink(missing_ok=True)


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


def _items(
    route: Route,
    step: GroupStep,
    ledger: Ledger,
    groups: Sequence[Group],
    members: Mapping[FrameId, tuple[Frame, Account]],
) -> Iterator[Item]:
    """Yield what is known of each group of a night's delivered frames.

    A product is known by its group and members, whatever the version of the step. Where other settings would only sort
    members anew that are in delivered products already, those products stay as they are.
    """
    archives = tuple(route.deliveries)
    settled: dict[FrameId, Item] = {}
    for group in groups:
        ours = {frame.id: members[frame.id][1] for frame in group.members}
        item = _known(step, ledger, group, ours)
        others = None if item.receipts else _sorted_before(step, ledger, group, members)
        if others is None:
            yield replace(item, archives=archives)
        else:
            settled |= {other.sighting.id: replace(other, archives=archives) for other in others}
    yield from settled.values()


def _item(identity: FrameId, group: Group, receipts: tuple[Receipt, ...], accounts: Mapping[FrameId, Account]) -> Item:
    """Return one frame of many: its identity and group, the receipts about it, and its members' raw frames."""
    sighting = made_here(identity, group.members[0].night, StorePath(group.key), 0, now_us())
    return Item(sighting, (), receipts=receipts, made_of=MadeOf(group, accounts))


def _known(step: GroupStep, ledger: Ledger, group: Group, ours: Mapping[FrameId, Account]) -> Item:
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
        made = made_account(known, receipts)
        if made.frames == len(frames):
            return _item(known, replace(group, edition=made.edition), receipts, ours)
    return _item(identity, replace(group, edition=len(before) + 1), (), ours)


def _products_of(step: GroupStep, account: Account, key: str, outcome: Outcome | None = None) -> Iterator[FrameId]:
    """Yield the products of a key that a frame was put into, oldest first; without an outcome held ones, too."""
    for receipt in account.receipts:
        if receipt.step == step.name and receipt.proof.get("key") == key and outcome in {None, receipt.outcome}:
            yield FrameId(str(receipt.proof["in"]))


def _sorted_before(
    step: GroupStep, ledger: Ledger, group: Group, members: Mapping[FrameId, tuple[Frame, Account]]
) -> list[Item] | None:
    """Return the delivered products of other settings that all of a group's members are in; None where any is in none.

    Those of which other members are not at hand today are left alone.
    """
    found: dict[FrameId, Item | None] = {}
    for frame in group.members:
        last = _last_product(step, members[frame.id][1])
        if last is None or Version(step.version, step.former).counts(last.version):
            return None
        identity = FrameId(str(last.proof["in"]))
        if identity in found:
            continue
        inside = [(frame, account) for frame, account in members.values() if _is_in(step, account, identity)]
        product = made_account(identity, ledger.history(identity))
        if not product.delivered:
            return None
        whole = Group(product.key, tuple(frame for frame, _ in inside), product.edition)
        item = _item(identity, whole, product.receipts, {frame.id: account for frame, account in inside})
        found[identity] = item if len(inside) == product.frames else None
    return [item for item in found.values() if item is not None]


def _last_product(step: GroupStep, account: Account) -> Receipt | None:
    """Return the receipt of the last product that a frame was put into."""
    put = (receipt for receipt in reversed(account.receipts) if receipt.step == step.name and "in" in receipt.proof)
    return next(put, None)


def _is_in(step: GroupStep, account: Account, product: FrameId) -> bool:
    return any(receipt.step == step.name and receipt.proof.get("in") == product for receipt in account.receipts)


def _leave_out(step: GroupStep, ledger: Ledger, onlooker: Onlooker, left: Sequence[tuple[Account, str]]) -> None:
    """Write into frames' histories, once, that the settings leave them out of every product of many."""
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
    """Return the frame as it was delivered: the product of the works, or the raw frame; None for one that was not.

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

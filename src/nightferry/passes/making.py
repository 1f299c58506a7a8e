"""Making: bring the parents of a frame of many to the shelf, make it of them, and have it judged."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, replace

from nightferry.core.balance import open_stages, overruled
from nightferry.core.errors import Held, NightferryError, Stopped, TryAgain
from nightferry.core.frame import Fact, Frame, FrameId
from nightferry.core.ledger import proven
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import DELIVER, JUDGES, Group, GroupStep, ProcessingStep, Stage
from nightferry.core.store import StorePath
from nightferry.passes.attempt import attempt
from nightferry.passes.item import Item, MadeOf
from nightferry.passes.receipts import now_us, receipt_of
from nightferry.passes.route import Route
from nightferry.steps.fetchback import fetch_back

#: How often a thread that waits for the pool looks whether somebody asked to stop, in seconds.
_LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a frame of many: the receipts about it, itself where it is good, and what concerns others."""

    receipts: Sequence[Receipt]
    product: Frame | None = None
    trouble: NightferryError | None = None


def make(route: Route, item: Item, stop: threading.Event) -> Made:
    """Give a frame of many that stands already, or make it and have it judged; raises nothing of its own.

    What was made once is found on the shelf or in an archive as long as only deliveries are open; else it is made
    again, alike where the step remembers how.
    """
    assert route.group_step is not None  # noqa: S101 - who has such an item has the step
    assert item.made_of is not None  # noqa: S101 - as above
    step, made_of, started = route.group_step, item.made_of, now_us()
    judges = [work for work in route.processing if work.name in JUDGES]
    told = [one for one in item.receipts if one.step == step.name and one.outcome is Outcome.DONE]
    stages: tuple[Stage, ...] = (step,)
    trouble: NightferryError | None = None
    try:
        if told and _is_to_deliver(route, item) and (product := _as_made(route, step, item, told[-1])) is not None:
            return Made((), product)
        _restock(route, made_of)
        group = replace(made_of.group, memory=dict(told[-1].proof) if told else {})
        asked = tuple(judge for judge in judges if judge.name not in overruled(item.receipts))
        stages = (step, *asked)
        answers = _from_pool(route, replace(item, made_of=replace(made_of, group=group)), asked, stop)
    except Stopped as err:
        return Made((), None, err)
    except NightferryError as err:
        outcome, trouble = Outcome.HELD if isinstance(err, Held) else Outcome.FAILED, err
        answers = [(0, Result(made_of.group.members[0], outcome, str(err)))]
    except BrokenExecutor:
        reason = "the worker process died of this product, twice"
        answers = [(0, Result(made_of.group.members[0], Outcome.BROKEN, reason))]
    facts: dict[str, Fact] = {
        "key": made_of.group.key, "edition": made_of.group.edition, "frames": len(made_of.group.members),
    }  # fmt: skip
    answers[0] = 0, replace(answers[0][1], proof=facts | dict(answers[0][1].proof))
    receipts = [receipt_of(result, stages[place], started, frame=item.sighting.id) for place, result in answers]
    last = answers[-1][1]
    good = len(answers) == len(stages) and last.outcome is Outcome.DONE
    return Made(receipts, last.product if good else None, trouble)


def told_to_members(item: Item, made: Receipt) -> Iterator[Receipt]:
    """Yield the receipts that tell a frame's parents that they are in it, or wait with it for a person."""
    if item.made_of is None or made.outcome is Outcome.FAILED:
        return
    group = item.made_of.group
    proof: dict[str, Fact] = {"in": made.frame, "key": group.key, "edition": group.edition}
    if "name" in made.proof:
        proof["name"] = made.proof["name"]
    for account in item.made_of.accounts.values():
        yield replace(made, frame=account.sighting.id, digest=None, proof=proof, seconds=0.0)


def make_and_judge(
    step: GroupStep, judges: Sequence[ProcessingStep], group: Group, identity: FrameId
) -> list[tuple[int, Result]]:
    """Make a frame of many and have it judged; the pool's task. It ends with the first that does not say done."""
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
    """A grouping step called once, in a step's clothes, so that `attempt` answers for whatever happens."""

    step: GroupStep
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


def _from_pool(
    route: Route, item: Item, judges: Sequence[ProcessingStep], stop: threading.Event
) -> list[tuple[int, Result]]:
    """Have the pool make and judge; raise `Stopped` when somebody asks to stop meanwhile."""
    assert route.pool is not None  # noqa: S101 - a route that groups has one
    assert route.group_step is not None  # noqa: S101 - as above
    assert item.made_of is not None  # noqa: S101 - the caller asked
    group, identity = item.made_of.group, item.sighting.id
    future: Future[list[tuple[int, Result]]] = route.pool.submit(
        make_and_judge, route.group_step, judges, group, identity
    )
    while True:
        try:
            return future.result(timeout=_LOOK)
        except NotYet:
            if stop.is_set():
                future.cancel()
                raise Stopped("stopped while a frame of many was being made") from None


def _is_to_deliver(route: Route, item: Item) -> bool:
    """Whether nothing is left to do for a frame but deliveries."""
    stages = open_stages(item.receipts, route.group_expectation)
    return bool(stages) and stages[0].step == DELIVER


def _as_made(route: Route, step: GroupStep, item: Item, done: Receipt) -> Frame | None:
    """Return a product as it was made, from the shelf or from an archive; None when it must be made again."""
    assert item.made_of is not None  # noqa: S101 - the caller asked
    product = step.recall(item.made_of.group, done)
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


def _restock(route: Route, made_of: MadeOf) -> None:
    """Fetch those members back from an archive that are on the shelf no more."""
    for frame in made_of.group.members:
        if _is_here(frame):
            continue
        route.shelf.require_room(frame.size)
        for receipt in made_of.accounts[frame.id].receipts:
            name, delivery = receipt.proof.get("name"), route.deliveries.get(receipt.target)
            if receipt.step == DELIVER and receipt.digest == frame.digest and delivery and isinstance(name, str):
                fetch_back(delivery.store, StorePath(name), frame.digest, frame.file)
                break
        else:
            raise TryAgain(f"{frame.name} is neither on the shelf nor in an archive of this route")


def _is_here(frame: Frame) -> bool:
    try:
        return frame.file.stat().st_size == frame.size
    except OSError:
        return False

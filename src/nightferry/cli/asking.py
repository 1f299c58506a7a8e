"""The commands that ask the ledger: nights, night, why, held; and release, which answers it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from nightferry import api
from nightferry.cli.exits import HELD
from nightferry.cli.products import held_products, members_of, product_json, show_product, show_products, show_totals
from nightferry.cli.seen import SOLVE, night_lines, seen_lines, seen_of, solve_text
from nightferry.cli.show import (
    COLOURS,
    Cell,
    Json,
    balance_json,
    instant_json,
    say,
    say_json,
    show_balances,
    size_text,
    span_text,
    table,
)
from nightferry.config import Config
from nightferry.core.balance import Balance, Bin
from nightferry.core.errors import Misconfigured
from nightferry.core.frame import Fact
from nightferry.core.instant import utc_text
from nightferry.core.ledger import Account, Ledger, latest_editions
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import DELIVER, PULL

_OUTCOMES = {Outcome.DONE: "green", Outcome.HELD: "red", Outcome.FAILED: "yellow", Outcome.BROKEN: "bold red"}


def nights_command(place: Path | None, telescope: str | None, *, as_json: bool) -> None:
    """Print the balance of every night."""
    config = api.load(place)
    api.telescope_names(config, [telescope] if telescope else [])
    with api.open_ledger(config, reading=True) as ledger:
        balances = ledger.balances(telescope)
        products = [] if as_json else latest_editions(ledger.products(telescope))
    if as_json:
        for balance in balances:
            say_json(balance_json(balance))
    elif balances:
        show_balances(balances)
        show_totals(products)
    else:
        say("no nights yet; carry some with: nightferry run --night all")


def night_command(place: Path | None, telescope: str, word: str, *, as_json: bool) -> None:
    """Print one night's frames, its cubes, and its balance."""
    config = api.load(place)
    api.telescope_names(config, [telescope])
    with api.open_ledger(config, reading=True) as ledger:
        night = _one_night(config, ledger, telescope, word)
        accounts = ledger.accounts(telescope, [night.date])
        products = ledger.products(telescope, [night.date])
        balance = next(iter(ledger.balances(telescope, [night.date])), Balance(night))
    if as_json:
        for account in accounts:
            say_json(_account_json(account))
        for product in products:
            say_json(product_json(product))
        return
    if accounts:
        table(
            ("frame", "size", "standing", "reason"), [_account_row(account) for account in accounts], numbers=("size",)
        )
    if products:
        show_products(products)
    if told := night_lines([seen_of(account) for account in accounts]):
        for line in told:
            say(line)
    show_balances([balance])


def _one_night(config: Config, ledger: Ledger, telescope: str, word: str) -> Night:
    if word == "all":
        raise Misconfigured("one night at a time, please: YYYYMMDD, YYYY-MM-DD, last or latest")
    if word == "latest":
        known = ledger.nights(telescope)
        if not known:
            raise Misconfigured(f"no night of {telescope} is known yet; carry one with: nightferry run {telescope}")
        return known[-1]
    evenings = api.evenings_of([word], config.resolved[telescope].longitude)
    return Night(telescope, (evenings or [])[0])


def _account_row(account: Account) -> list[Cell]:
    sighting, standing = account.sighting, account.standing
    reason = standing.reason if standing.bin is not Bin.DELIVERED else ", ".join(_names(account))
    if standing.bin is Bin.FAILED:
        reason = f"{standing.stage}: {reason}; next try {utc_text(standing.next_try_us)}"
    return [sighting.path, size_text(sighting.size), (str(standing.bin), COLOURS[standing.bin]), reason]


def _names(account: Account) -> list[str]:
    """List where a frame was delivered."""
    done = (receipt for receipt in account.receipts if receipt.step == DELIVER and receipt.outcome is Outcome.DONE)
    return list({receipt.target: f"{receipt.target}: {receipt.proof.get('name', '')}" for receipt in done}.values())


def _account_json(account: Account) -> dict[str, Json]:
    sighting, standing = account.sighting, account.standing
    delivered = {
        receipt.target: str(receipt.proof.get("name", ""))
        for receipt in account.receipts
        if receipt.step == DELIVER and receipt.outcome is Outcome.DONE
    }
    return {
        "frame": sighting.id,
        "telescope": sighting.night.telescope,
        "night": sighting.night.date.isoformat(),
        "name": sighting.path,
        "size": sighting.size,
        "digest": _digest(account),
        "standing": str(standing.bin),
        "stage": standing.stage,
        "reason": standing.reason,
        "delivered": delivered,
        "stars": seen_of(account) or None,
    }


def _digest(account: Account) -> str | None:
    digests = [receipt.digest for receipt in account.receipts if receipt.step == PULL and receipt.digest]
    return digests[-1] if digests else None


def why_command(place: Path | None, text: str, *, as_json: bool) -> None:
    """Print the whole history of one frame or cube."""
    config = api.load(place)
    with api.open_ledger(config, reading=True) as ledger:
        account = api.find_any(ledger, text)
        members = members_of(ledger, account) if account.made else []
    if account.made:
        _why_product(account, members, as_json=as_json)
        return
    if as_json:
        say_json(_why_json(account))
        return
    sighting, standing = account.sighting, account.standing
    changed = "unknown" if sighting.mtime_us is None else utc_text(sighting.mtime_us)
    say(sighting.path, "bold")
    say(f"  telescope  {sighting.night.telescope}, night of {sighting.night.date}")
    say(f"  identity   {sighting.id}")
    say(f"  BLAKE3     {_digest(account) or 'not pulled yet'}")
    say(f"  at source  {sighting.size:,} bytes, changed {changed}, first seen {utc_text(sighting.seen_us)}")
    say(f"  standing   {standing.bin}{f': {standing.reason}' if standing.reason else ''}", COLOURS[standing.bin])
    _show_receipts(account.receipts)
    told = seen_of(account)
    if told:
        say("")
        say("what its stars tell", "bold")
        for line in seen_lines(told):
            say(f"  {line}")
    changes = _changes(account)
    if changes:
        say("")
        say(f"what became of its header ({len(changes)} keywords; the recipe that leads back is in the ledger)", "bold")
        for keyword, before, after in changes:
            say(f"  {_change_text(keyword, before, after)}")


def _show_receipts(receipts: Sequence[Receipt]) -> None:
    if receipts:
        say("")
        rows: list[Sequence[Cell]] = [_receipt_row(receipt) for receipt in receipts]
        table(("when", "step", "outcome", "took", "what was found"), rows, numbers=("took",))


def _why_product(product: Account, members: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    """Print a cube's history, and the frames that it is made of."""
    if as_json:
        told: dict[str, Json] = {
            "members": [{"name": name, "frame": identity} for name, identity in members],
            "receipts": _receipts_json(product.receipts),
        }
        say_json(product_json(product) | told)
        return
    show_product(product)
    _show_receipts(product.receipts)
    if members:
        say("")
        say("made of", "bold")
        for name, _ in members:
            say(f"  {name}")


def _changes(account: Account) -> list[tuple[str, str | None, str | None]]:
    """Tell what the last product's header has in place of the raw one's: keyword, before, after."""
    told = [receipt.proof["changes"] for receipt in account.receipts if isinstance(receipt.proof.get("changes"), str)]
    return [(keyword, before, after) for keyword, before, after in json.loads(str(told[-1]))] if told else []


def _change_text(keyword: str, before: str | None, after: str | None) -> str:
    if before is None:
        return f"+ {keyword} = {after}"
    return f"- {keyword} = {before}" if after is None else f"  {keyword} = {before} -> {after}"


def _receipt_row(receipt: Receipt) -> list[Cell]:
    step = f"{receipt.step} to {receipt.target}" if receipt.target else receipt.step
    found = receipt.reason or ", ".join(
        f"{key} {value}" for key, value in receipt.proof.items() if _is_told(key, value)
    )
    if receipt.step == SOLVE and not receipt.reason:
        found = solve_text(receipt.proof)  # the rest stands below the table
    outcome = (str(receipt.outcome), _OUTCOMES[receipt.outcome])
    return [utc_text(receipt.started_us), step, outcome, span_text(receipt.seconds), found]


def _is_told(key: str, value: Fact) -> bool:
    return value not in {"", None} and key not in {"traceback", "changes", "recipe"}


def _why_json(account: Account) -> dict[str, Json]:
    sighting = account.sighting
    return {
        "name": sighting.path,
        "night": sighting.night.date.isoformat(),
        "telescope": sighting.night.telescope,
        "frame": sighting.id,
        "standing": str(account.standing.bin),
        "reason": account.standing.reason,
        "changes": [
            {"keyword": keyword, "before": before, "after": after} for keyword, before, after in _changes(account)
        ],
        "receipts": _receipts_json(account.receipts),
    }


def _receipts_json(receipts: Sequence[Receipt]) -> list[Json]:
    return [
        {
            "step": receipt.step,
            "target": receipt.target,
            "outcome": str(receipt.outcome),
            "reason": receipt.reason,
            "proof": {key: value for key, value in receipt.proof.items() if key != "changes"},
            "started": instant_json(receipt.started_us),
            "seconds": round(receipt.seconds, 6),
            "host": receipt.host,
        }
        for receipt in receipts
    ]


def held_command(place: Path | None, telescope: str | None, *, as_json: bool) -> None:
    """List what waits for a person; exits with 1 when anything does."""
    config = api.load(place)
    api.telescope_names(config, [telescope] if telescope else [])
    with api.open_ledger(config, reading=True) as ledger:
        accounts = ledger.accounts(telescope, None, [Bin.HELD])
        products = held_products(ledger, telescope)
    if as_json:
        for account in accounts:
            say_json(_account_json(account))
        for product in products:
            say_json(product_json(product))
    elif accounts or products:
        columns = ("frame id", "night", "path", "step", "reason")
        rows = [_held_row(account) for account in accounts]
        table(columns, rows + [_held_product_row(product) for product in products])
        say("let one go on with: nightferry release FRAME --why TEXT (or leave it out with --drop)", "dim")
    else:
        say("nothing is held", "green")
    sys.exit(HELD if accounts or products else 0)


def _held_product_row(product: Account) -> list[Cell]:
    standing = product.standing
    return [product.id[:12], str(product.night), product.name, standing.stage, standing.reason]


def _held_row(account: Account) -> list[Cell]:
    sighting, standing = account.sighting, account.standing
    return [sighting.id[:12], str(sighting.night), sighting.path, standing.stage, standing.reason]


def release_command(place: Path | None, text: str, reason: str, *, drop: bool, dry_run: bool, as_json: bool) -> None:
    """Release one held frame or cube."""
    config = api.load(place)
    with api.open_ledger(config, reading=dry_run) as ledger:
        meant = api.find_any(ledger, text) if dry_run else api.release(ledger, text, reason, drop=drop)
    if as_json:
        say_json(product_json(meant) if meant.made else _account_json(meant))
        return
    path = meant.name
    if dry_run:
        say(f"{path} would be {'dropped' if drop else 'released'}; nothing was changed")
    elif drop:
        say(f"{path} is left out from now on")
    else:
        say(f"{path} is released; it goes on with the next run")

"""Status, nights, night and why: what became of frames, from the ledger alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nightferry.api._held import find_any
from nightferry.api._routes import evenings_of
from nightferry.assemble import telescope_names
from nightferry.config import Config
from nightferry.core.balance import Balance
from nightferry.core.errors import Misconfigured
from nightferry.core.frame import Fact
from nightferry.core.ledger import Account, Ledger, latest_editions
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome
from nightferry.core.step import DELIVER, PULL, SOLVE

#: The fact of a solution that is no measurement but the cards for `standardise`.
_CARDS = "solution"


@dataclass(frozen=True, slots=True)
class NightSheet:
    """One night: its balance, what became of each frame, and its cubes."""

    balance: Balance
    frames: Sequence[Account]
    cubes: Sequence[Account]


@dataclass(frozen=True, slots=True)
class History:
    """All that is known of one frame or cube; ``members`` are the frames that a cube is made of."""

    of: Account
    members: Sequence[Account] = ()


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """What became of one keyword of a raw frame's header; None where it was not, or is no more."""

    keyword: str
    before: str | None
    after: str | None


def nights(config: Config, ledger: Ledger, telescope: str | None = None) -> Sequence[Balance]:
    """Return the balance of every night, of one telescope or of all."""
    telescope_names(config, [telescope] if telescope else [])
    return ledger.balances(telescope)


def cubes(config: Config, ledger: Ledger, telescope: str | None = None) -> Sequence[Account]:
    """Return the latest edition of every cube, of one telescope or of all."""
    telescope_names(config, [telescope] if telescope else [])
    return latest_editions(ledger.products(telescope))


def night(config: Config, ledger: Ledger, telescope: str, when: str) -> NightSheet:
    """Return what became of each frame of one night (``YYYYMMDD``, ``YYYY-MM-DD``, ``last``, ``latest``).

    Raises `Misconfigured` for another word, and where no night of the telescope is known yet.
    """
    telescope_names(config, [telescope])
    which = _one_night(config, ledger, telescope, when)
    return NightSheet(
        balance=next(iter(ledger.balances(telescope, [which.date])), Balance(which)),
        frames=ledger.accounts(telescope, [which.date]),
        cubes=ledger.products(telescope, [which.date]),
    )


def _one_night(config: Config, ledger: Ledger, telescope: str, word: str) -> Night:
    if word == "all":
        raise Misconfigured("one night at a time, please: YYYYMMDD, YYYY-MM-DD, last or latest")
    if word == "latest":
        known = ledger.nights(telescope)
        if not known:
            raise Misconfigured(f"no night of {telescope} is known yet; carry one with: nightferry run {telescope}")
        return known[-1]
    evenings = evenings_of([word], config.resolved[telescope].longitude)
    return Night(telescope, (evenings or [])[0])


def why(ledger: Ledger, text: str) -> History:
    """Return the whole history of the frame or cube that a person means; `find_any` says what is understood."""
    found = find_any(ledger, text)
    if not found.made:
        return History(found)
    accounts = ledger.accounts(found.night.telescope, [found.night.date])
    return History(found, [account for account in accounts if _is_member(account, found)])


def _is_member(account: Account, cube: Account) -> bool:
    return any(receipt.step == cube.step and receipt.proof.get("in") == cube.id for receipt in account.receipts)


def delivered_names(account: Account) -> Mapping[str, str]:
    """Return a frame's name in each archive that has it."""
    done = (receipt for receipt in account.receipts if receipt.step == DELIVER and receipt.outcome is Outcome.DONE)
    return {receipt.target: str(receipt.proof.get("name", "")) for receipt in done}


def raw_digest(account: Account) -> str | None:
    """Return the BLAKE3 digest of a frame's raw file; None when it was not pulled yet."""
    digests = [receipt.digest for receipt in account.receipts if receipt.step == PULL and receipt.digest]
    return digests[-1] if digests else None


def header_changes(account: Account) -> list[HeaderChange]:
    """Return what the newest standard frame's header has in place of the raw one's."""
    found = [receipt.proof["changes"] for receipt in account.receipts if isinstance(receipt.proof.get("changes"), str)]
    return [HeaderChange(*change) for change in json.loads(str(found[-1]))] if found else []


def star_facts(account: Account) -> dict[str, Fact]:
    """Return what the stars of a frame told when it was last solved; empty for frames that no solve has seen."""
    proofs = [receipt.proof for receipt in account.receipts if receipt.step == SOLVE and "solved" in receipt.proof]
    return {key: value for key, value in proofs[-1].items() if key != _CARDS} if proofs else {}

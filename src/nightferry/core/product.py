"""Products of many frames, such as cubes: what is known of one, from the receipts about it alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nightferry.core.balance import Standing, product_standing
from nightferry.core.frame import Digest, Fact, FrameId
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import DELIVER

_FEWEST_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Product:
    """A product of many frames of one night, with the receipts about it, oldest first; there is one at least."""

    id: FrameId
    night: Night
    receipts: tuple[Receipt, ...]

    @property
    def step(self) -> str:
        """The step that makes it."""
        return self.receipts[0].step

    @property
    def key(self) -> str:
        """What its frames have in common; the same for every edition."""
        return str(self._told("key") or "")

    @property
    def edition(self) -> int:
        """How often it was made of other members, from 1."""
        edition = self._told("edition")
        return edition if isinstance(edition, int) else 1

    @property
    def frames(self) -> int:
        """How many frames it is made of."""
        frames = self._told("frames")
        return frames if isinstance(frames, int) else 0

    @property
    def name(self) -> str:
        """Its name in archives, without folders; its key as long as it has none."""
        return str(self._told("name") or self.key)

    @property
    def size(self) -> int:
        """Its bytes; 0 as long as it was never made."""
        size = self._told("size")
        return size if isinstance(size, int) else 0

    @property
    def digest(self) -> Digest | None:
        """The BLAKE3 of its bytes; None as long as it was never made."""
        return next((told.digest for told in reversed(self.receipts) if told.step == self.step and told.digest), None)

    @property
    def standing(self) -> Standing:
        """Where it stands, and why."""
        return product_standing(self.receipts)

    @property
    def delivered(self) -> Mapping[str, str]:
        """Tell its name in each archive that it was delivered to."""
        return {
            receipt.target: str(receipt.proof.get("name", ""))
            for receipt in self.receipts
            if receipt.step == DELIVER and receipt.outcome is Outcome.DONE
        }

    def _told(self, fact: str) -> Fact:
        """Tell the last word of the step that makes it."""
        told = (receipt.proof.get(fact) for receipt in reversed(self.receipts) if receipt.step == self.step)
        return next((value for value in told if value is not None), None)

    def is_meant(self, text: str) -> bool:
        """Whether a person who says this means it: its name, in an archive or alone, or 8 digits or more."""
        names = {self.name, *self.delivered.values()}
        if any(name == text or name.endswith(f"/{text}") for name in names):
            return True
        digits = text.lower()
        return len(digits) >= _FEWEST_DIGITS and (self.id.startswith(digits) or (self.digest or "").startswith(digits))


def latest_editions(products: Iterable[Product]) -> Sequence[Product]:
    """Leave out what a later edition of the same night and key took the place of."""
    return list({(product.night, product.key): product for product in products}.values())

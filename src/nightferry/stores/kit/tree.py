"""How far a walk through a store's folders goes: nothing that a server shows may keep it busy for ever."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nightferry.core.store import Oddity, StorePath

#: No telescope's folders lie deeper: the deepest layouts that we know have six levels.
DEEPEST = 32
#: More folders than any telescope has in years; a server that shows its root again as a folder makes endless ones.
MOST_FOLDERS = 200_000
#: A path that repeats a run of folders this often leads in a circle.
_TURNS = 3


@dataclass(slots=True)
class Tree:
    """Counts the folders of one walk, and says which of them are not to be entered."""

    folders: int = 0
    _full: bool = field(default=False, repr=False)

    def refusal(self, folder: StorePath) -> str:
        """Return why a folder is not entered, as a clause; empty where it is, and counted then."""
        names = folder.split("/")
        if len(names) > DEEPEST:
            return f"its folders go deeper than {DEEPEST}"
        if (turn := _turn_of(names)) is not None:
            return f"its folders repeat {turn!r}, so they lead in a circle"
        if self.folders >= MOST_FOLDERS:
            return f"there are more than {MOST_FOLDERS:,} folders"
        self.folders += 1
        return ""

    def sorted(
        self, folders: Iterable[StorePath], enter: Callable[[StorePath], bool] | None
    ) -> tuple[list[StorePath], list[Oddity]]:
        """Return the folders to go into, of those that somebody wants, and the oddities of those that lead too far."""
        ahead: list[StorePath] = []
        odd: list[Oddity] = []
        for folder in folders:
            if enter is not None and not enter(folder):
                continue
            if (one := self.unread(folder)) is None:
                ahead.append(folder)
            else:
                odd.append(one)
        return ahead, odd

    def unread(self, folder: StorePath) -> Oddity | None:
        """Return the oddity of a folder that is not entered; None for one to enter."""
        if not (why := self.refusal(folder)):
            return None
        return Oddity("unread", folder, why)


def _turn_of(names: list[str]) -> str | None:
    """Return the run of names that the end of a path repeats; None where it does not."""
    for length in range(1, len(names) // _TURNS + 1):
        last = names[-length:]
        if all(names[-length * turn : -length * (turn - 1) or None] == last for turn in range(2, _TURNS + 1)):
            return "/".join(last)
    return None

"""What an FTP server's replies say: pure functions from text to values and errors (RFC 959, 2389, 2428, 3659)."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from nightferry.core.errors import Misconfigured, NightferryError, NoSpace, TryAgain, Unreachable

#: The facts of MLSD and MLST without which plain listings serve us better.
NEEDED_FACTS = frozenset({"type", "size", "modify"})

_EPSV = re.compile(r"\(([\x21-\x7e])\1\1([0-9]{1,5})\1\)")
_PASV = re.compile(r"([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3})")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_NUMBER = re.compile(r"^\s*([0-9]{1,18})\s*$")
_FULL = re.compile(r"no space|disk (is )?full|quota|out of space|insufficient (disk )?(space|storage)", re.IGNORECASE)
_ABSENT = re.compile(r"no such (file|dir)|not found|does ?n[o']t exist|can ?not find|no files", re.IGNORECASE)
_BARRED = re.compile(r"access|permission|denied|not allowed|busy|unavailable", re.IGNORECASE)
_CROWDED = re.compile(r"too many|maximum|try again|limit|busy|already (logged|connected)", re.IGNORECASE)


class Reply(NamedTuple):
    """One whole reply: its code and its text, several lines joined by line feeds."""

    code: int
    text: str

    @property
    def preliminary(self) -> bool:
        """More will follow (1xx)."""
        return self.code < 200  # noqa: PLR2004 - reply classes of RFC 959

    @property
    def good(self) -> bool:
        """It worked (2xx)."""
        return 200 <= self.code < 300  # noqa: PLR2004

    @property
    def unknown(self) -> bool:
        """The server does not know the command or what was asked of it (500, 501, 502, 504)."""
        return self.code in {500, 501, 502, 504}

    @property
    def absent(self) -> bool:
        """The reply says in words that there is no such file or folder; without words, 550 may mean anything."""
        return self.code in {450, 550} and bool(_ABSENT.search(self.text)) and not _BARRED.search(self.text)

    def __str__(self) -> str:
        """Quote the reply for a message."""
        return quoted(f"{self.code} {self.text}")


def quoted(text: str) -> str:
    """Make what a server said safe to show: one short line without control characters."""
    line = "".join(sign if sign.isprintable() else "?" for sign in text[:200])
    return f'"{line}"'


def refusal(reply: Reply, doing: str) -> NightferryError:
    """Tell a reply that is no success as the error it means; ``doing`` says where and what was asked."""
    if reply.code in {452, 552} or _FULL.search(reply.text):
        return NoSpace(f"{doing}: the server has no space left ({reply}); free some there")
    if reply.code in {530, 532}:
        return Misconfigured(f"{doing}: the server wants another login ({reply}); check user and secret")
    return TryAgain(f"{doing}: expected success, the server answered {reply}; it is tried again later")


def login_refusal(reply: Reply, label: str, user: str) -> NightferryError:
    """Tell why a login was refused: a crowded server asks for patience, anything else for the operator."""
    if 400 <= reply.code < 500 or (reply.code == 530 and _CROWDED.search(reply.text)):  # noqa: PLR2004
        return Unreachable(f"{label}: the server takes no login now ({reply}); it is tried again later")
    return Misconfigured(f"{label}: the server refuses the login of {user!r} ({reply}); check user and secret")


def epsv_port(reply: Reply) -> int | None:
    """Read the port out of a 229 reply (RFC 2428); None when there is none."""
    found = _EPSV.search(reply.text) if reply.code == 229 else None  # noqa: PLR2004
    return _port(int(found[2])) if found else None


def pasv_port(reply: Reply) -> int | None:
    """Read the port out of a 227 reply; its address is never used, whatever it says."""
    found = _PASV.search(reply.text) if reply.code == 227 else None  # noqa: PLR2004
    return _port(int(found[5]) * 256 + int(found[6])) if found else None


def _port(number: int) -> int | None:
    return number if 0 < number < 65536 else None  # noqa: PLR2004


def pwd_path(reply: Reply) -> str | None:
    """Read the folder out of a 257 reply, doubled quotes undone; None when it is not an absolute one."""
    found = _QUOTED.search(reply.text) if reply.code == 257 else None  # noqa: PLR2004
    path = found[1].replace('""', '"') if found else ""
    return path if path.startswith("/") else None


def size_of(reply: Reply) -> int | None:
    """Read the number of bytes out of a 213 reply to SIZE."""
    found = _NUMBER.match(reply.text) if reply.code == 213 else None  # noqa: PLR2004
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Features:
    """What a server says it can do (FEAT, RFC 2389)."""

    told: bool = False
    utf8: bool = False
    facts: frozenset[str] = frozenset()

    @property
    def machine_listings(self) -> bool:
        """MLSD and MLST are there and tell all that we need."""
        return self.facts >= NEEDED_FACTS


def features_of(reply: Reply) -> Features:
    """Read the reply to FEAT; a server that does not know FEAT has told nothing."""
    if reply.code != 211:  # noqa: PLR2004
        return Features()
    names: dict[str, str] = {}
    for line in reply.text.split("\n")[1:]:
        name, _, rest = line.strip().partition(" ")
        names[name.upper()] = rest
    facts = frozenset(fact.strip("* ").lower() for fact in names.get("MLST", "").split(";"))
    return Features(told=True, utf8="UTF8" in names, facts=facts - {""})

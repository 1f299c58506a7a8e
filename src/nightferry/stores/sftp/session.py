"""One login: requests go out ahead, answers are matched by number, every wait has an end."""

import re
from dataclasses import dataclass
from typing import TypeAlias

from nightferry.core.errors import Gone, Misconfigured, NightferryError, TryAgain, Unreachable
from nightferry.core.store import ROOT, StorePath
from nightferry.stores.kit.sessions import Cut, Garbled, Lease, Silence
from nightferry.stores.sftp.process import SftpAddress, SshProcess, UnknownHost, host_keys, shown
from nightferry.stores.sftp.wire import (
    SAFE_CHUNK,
    Attrs,
    Code,
    Framer,
    Kind,
    Limits,
    Status,
    hello,
    packet,
    read_attrs,
    read_extensions,
    read_free_space,
    read_handle,
    read_limits,
    read_status,
    text,
)

# -- what ``ssh`` complains about, as the error of who must act ------------------------------------------------------

_FINGERPRINT = re.compile(r"(?:SHA256|MD5):[0-9A-Za-z+/:]+")
_UNKNOWN = re.compile(r"host key is known for|Host key verification failed|authenticity of host", re.IGNORECASE)
_REFUSED = re.compile(r"Permission denied \(|Too many authentication failures|No more authentication methods")
_OURS = re.compile(
    r"Bad configuration option|bad configuration options|Bad owner or permissions|no argument after keyword|"
    r"extra arguments at end|Can't open user config file|command-line: line 0|unknown option|illegal option"
)
_STRANGERS = re.compile(r"Unable to negotiate|no matching .* found")
_SPOILED_KEY = re.compile(r"Load key .*|UNPROTECTED PRIVATE KEY FILE|Identity file .* not accessible.*")


def ssh_error(said: str, address: SftpAddress) -> NightferryError:
    """Return the error that the last words of an ``ssh`` mean; ``said`` is its stderr."""
    label = address.label
    words = shown(said)
    kept = str(address.known_hosts) if address.known_hosts is not None else "~/.ssh/known_hosts"
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        found = _FINGERPRINT.search(said)
        return Misconfigured(
            f"{label}: the host's key is not the one that is known in {kept}: the server now shows "
            f"{found[0] if found else 'another one'}. Somebody may be listening in, or the server was set up anew. "
            f"Ask whoever runs it; if that is its new key, take the old one away with "
            f"`ssh-keygen -R '{address.known_as}' -f {kept}` and add the new one"
        )
    if "revoked" in said and "key" in said.lower():
        return Misconfigured(f"{label}: the host's key was revoked, so it is not trusted ({words})")
    if _UNKNOWN.search(said):
        return UnknownHost(_unknown(address, kept, words), address)
    if _REFUSED.search(said):
        return Misconfigured(_refused(said, address, words))
    if "subsystem request failed" in said:
        return Misconfigured(f"{label}: the server lets us in but offers no SFTP; switch its sftp subsystem on")
    if _STRANGERS.search(said):
        return Misconfigured(
            f"{label}: ssh and the server have no method in common ({words}); update the older one, or allow the "
            "method in ~/.ssh/config"
        )
    if _OURS.search(said):
        return Misconfigured(f"{label}: ssh does not take its settings ({words}); mend ~/.ssh/config")
    return Unreachable(f"{label}: no connection ({words or 'ssh ended without a word'}); it is tried again later")


def _unknown(address: SftpAddress, kept: str, words: str) -> str:
    keys = host_keys(address.host, address.port, timeout=min(address.timeout, 5.0))
    shows = ", ".join(f"{key.kind} {key.fingerprint}" for key in keys)
    said = f"it shows {shows}" if shows else words
    return (
        f"{address.label}: the host's key is not known, and unknown hosts are not trusted: {said}. Compare that with "
        f"what whoever runs the server tells you; if it is the same, add it to {kept} with "
        f"`ssh-keyscan{'' if address.port in {None, 22} else f' -p {address.port}'} {address.host} >> {kept}`"
    )


def _refused(said: str, address: SftpAddress, words: str) -> str:
    who = f"the login of {address.user!a}" if address.user else "our login"
    with_what = (
        f"with the key {address.key}" if address.key else "by password" if address.password else "with the user's keys"
    )
    spoiled = _SPOILED_KEY.search(said)
    if spoiled:
        return (
            f"{address.label}: the key {address.key} cannot be used ({words}); it must be an OpenSSH private key "
            "that only its owner may read and that has no passphrase (or is in the agent)"
        )
    return (
        f"{address.label}: the server refuses {who} {with_what} ({words}); check user and secret, and that the public "
        "key is in the account's authorized_keys. A key with a passphrase must be in the agent"
    )


# -- the session -----------------------------------------------------------------------------------------------------

#: Name resolution, connection, key exchange and login come one after the other, each a wait of its own.
_LOGIN_WAITS = 3.0
_FLUSH_AT = 16 * 1024

Answer = tuple[int, memoryview | bytes]


@dataclass(slots=True)
class ServerFacts:
    """What is known about a server, shared by all sessions of a store."""

    #: It makes hard links, so a name that is taken can never be given again.
    links: bool = True


class Session:
    """A session on an SFTP server; raises `Misconfigured` or `Unreachable` when there can be none.

    Not for several threads at once.
    """

    def __init__(self, address: SftpAddress) -> None:
        self.address = address
        self.label = address.label
        self.root = address.root.encode("utf-8", "surrogateescape")
        self.limits = Limits(SAFE_CHUNK, SAFE_CHUNK)
        self.extensions: dict[bytes, bytes] = {}
        self._framer = Framer()
        self._out = bytearray()
        self._number = 0
        self._looking = Kind.LSTAT
        self._awaited: set[int] = set()
        self._forgotten: set[int] = set()
        self._arrived: dict[int, Answer] = {}
        self._process = SshProcess(address)
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        try:
            self._process.write(hello())
            with self._process.patience(_LOGIN_WAITS):
                kind, offer = self._next_packet()
        except Cut as err:
            raise ssh_error(self._process.last_words(), self.address) from err
        except Silence as err:
            raise Silence(f"{err}; the server was silent while we logged in") from err
        except Garbled as err:
            raise Misconfigured(
                f"{self.label}: {err}: it looks as if the account's shell prints something, or is no shell for SFTP; "
                "see to it that it is silent for logins without a terminal"
            ) from err
        self._process.opened()
        if kind != Kind.VERSION:
            raise Misconfigured(f"{self.label}: expected SFTP's first packet, the server sent one of kind {kind}")
        self.extensions = read_extensions(bytes(offer))
        if b"limits@openssh.com" in self.extensions:
            kind, body = self.wait(self.ask(Kind.EXTENDED, text(b"limits@openssh.com")))
            if kind == Kind.EXTENDED_REPLY:
                self.limits = read_limits(bytes(body))

    # -- requests and answers ----------------------------------------------------------------------------------

    def ask(self, kind: Kind, *fields: bytes) -> int:
        """Put a request on its way and give its number; it leaves at the latest when an answer is waited for."""
        self._number = self._number + 1 & 0xFFFFFFFF
        number = self._number
        self._out += packet(kind, number, *fields)
        self._awaited.add(number)
        if len(self._out) > _FLUSH_AT:
            self._flush()
        return number

    def wait(self, number: int) -> Answer:
        """Return the answer to a request; one in the session's own memory is good until the next wait.

        Raises `Cut`, `Silence`, or `Garbled` for an answer to what nobody asked.
        """
        self._flush()
        if number in self._arrived:
            return self._arrived.pop(number)
        while True:
            with self._process.patience():
                kind, rest = self._next_packet()
            if len(rest) < 4:  # noqa: PLR2004 - the number
                raise Garbled(f"{self.label}: the server sent an answer without a number")
            found = int.from_bytes(rest[:4])
            if found in self._forgotten:
                self._forgotten.remove(found)
                continue
            if found not in self._awaited:
                raise Garbled(f"{self.label}: the server answered what nobody asked")
            self._awaited.remove(found)
            if found == number:
                return kind, rest[4:]
            self._arrived[found] = kind, bytes(rest[4:])

    def forget(self, number: int) -> None:
        """Let an answer come and go."""
        if self._arrived.pop(number, None) is None and number in self._awaited:
            self._awaited.remove(number)
            self._forgotten.add(number)

    def has(self, number: int) -> bool:
        """Whether the answer to a request came already, so that `wait` gives it at once."""
        return number in self._arrived

    def settle(self) -> bool:
        """Forget all answers that are still to come, which can always be done."""
        self._forgotten |= self._awaited
        self._awaited.clear()
        self._arrived.clear()
        return True

    def _flush(self) -> None:
        if self._out:
            data = bytes(self._out)
            self._out.clear()
            self._process.write(data)

    def _next_packet(self) -> tuple[int, memoryview]:
        while True:
            found = self._framer.next()
            if found is not None:
                return found
            self._framer.filled(self._process.read_into(self._framer.room()))

    # -- questions of one answer -------------------------------------------------------------------------------

    def place(self, path: StorePath | str) -> bytes:
        """Return a path below the root as the server knows it, ready to be sent; the root itself is an empty path."""
        below = path.encode("utf-8", "surrogateescape")
        if not self.root:
            return text(below or b".")
        if not below:
            return text(self.root)
        return text((b"" if self.root == b"/" else self.root) + b"/" + below)

    def status(self, answer: Answer) -> Status:
        """Read an answer that can only be a status."""
        kind, body = answer
        if kind != Kind.STATUS:
            raise Garbled(f"{self.label}: expected a status, the server sent a packet of kind {kind}")
        return read_status(bytes(body))

    def handle(self, answer: Answer) -> bytes | Status:
        """Read the answer to an open; the handle is ready to be sent."""
        kind, body = answer
        return text(read_handle(bytes(body))) if kind == Kind.HANDLE else self.status(answer)

    def attrs(self, answer: Answer) -> Attrs | Status:
        """Read the answer to a stat."""
        kind, body = answer
        return read_attrs(bytes(body)) if kind == Kind.ATTRS else self.status(answer)

    def do(self, kind: Kind, *fields: bytes) -> Status:
        """Ask for something that is answered by a status, and give it."""
        return self.status(self.wait(self.ask(kind, *fields)))

    def look(self, path: StorePath) -> Attrs | None:
        """Return what stands under a path, not following a link; None for nothing."""
        return self.looked(path, self.wait(self.ask_look(path)))

    def ask_look(self, path: StorePath) -> int:
        """Ask what stands under a path; a server without LSTAT is asked by STAT, which follows links."""
        return self.ask(self._looking, self.place(path))

    def looked(self, path: StorePath, answer: Answer) -> Attrs | None:
        """Read the answer to a stat of a path; raises `TryAgain` when it tells neither."""
        attrs = self.attrs(answer)
        if isinstance(attrs, Attrs):
            return attrs
        if attrs.code == Code.NO_SUCH_FILE:
            return None
        if attrs.code == Code.OP_UNSUPPORTED:
            self._looking = Kind.STAT
            attrs = self.attrs(self.wait(self.ask_look(path)))
            if isinstance(attrs, Attrs):
                return attrs
            if attrs.code == Code.NO_SUCH_FILE:
                return None
        raise self.refusal(attrs, f"looking at {path!a}")

    def need_root(self) -> None:
        """Raise `Misconfigured` if the root is not there: a disk that is not mounted is no reason to miss a file."""
        if self.look(ROOT) is None:
            raise Misconfigured(
                f"{self.label}: the root folder is not there; mount its disk or make it, or correct the URL's path"
            )

    def gone(self, path: StorePath) -> Gone:
        """Return the error of a file that is not there, having looked whether the root is."""
        self.need_root()
        return Gone(f"{self.label}: {path!a} is no longer there, or no plain file")

    def free_space(self, path: StorePath) -> int | None:
        """Return the bytes that are left for us on the disk of a folder, where the server tells that."""
        if b"statvfs@openssh.com" not in self.extensions:
            return None
        kind, body = self.wait(self.ask(Kind.EXTENDED, text(b"statvfs@openssh.com"), self.place(path)))
        return read_free_space(bytes(body)) if kind == Kind.EXTENDED_REPLY else None

    def refusal(self, status: Status, doing: str) -> NightferryError:
        """Return the error that a status means which is no success."""
        what = f"{self.label}: {doing}"
        if status.code == Code.NO_SUCH_FILE:
            return Gone(f"{what}: it is not there ({status})")
        if status.code == Code.PERMISSION_DENIED:
            return TryAgain(f"{what}: the login may not do that ({status}); check the rights there")
        return TryAgain(f"{what}: expected success, the server answered {status}; it is tried again later")

    # -- its life ----------------------------------------------------------------------------------------------

    def alive(self) -> bool:
        """Whether the server still answers; all answers still to come are passed over."""
        self.settle()
        try:
            self.wait(self.ask(Kind.REALPATH, text(b".")))
        except (Cut, Silence, Garbled):
            return False
        return True

    def close(self, *, politely: bool = False) -> None:
        """End the session; may be called again."""
        self._process.close(politely=politely)


#: One call's way to an SFTP server.
SftpLease: TypeAlias = Lease[Session, ServerFacts]

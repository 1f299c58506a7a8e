"""One login at one share: requests go out ahead, answers are matched by number, every wait has an end."""

import contextlib
import struct
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from nightferry.core.errors import Gone, Misconfigured, NightferryError
from nightferry.core.store import ROOT, StorePath
from nightferry.stores.kit.sessions import Garbled, Lease
from nightferry.stores.smb import wire
from nightferry.stores.smb.link import Link, SmbAddress
from nightferry.stores.smb.login import (
    CAPABILITIES,
    CREDITS,
    DIALECTS,
    SIGNING_REQUIRED,
    SMB_3_0,
    SMB_3_1_1,
    log_in,
    sign,
    verify,
)
from nightferry.stores.smb.wire import (
    CREDIT,
    HEADER,
    NOT_THERE,
    OVER,
    Ask,
    Command,
    Facts,
    Flag,
    Header,
    Status,
    read_header,
    refusal,
    share_refusal,
)

_FLUSH_AT = 64 * 1024
_NO_TREE = 0
_IS_DISK = 1
_ENCRYPT_SHARE = 0x8000
_VALIDATE = 0x0014_0204  # FSCTL_VALIDATE_NEGOTIATE_INFO, [MS-SMB2] 2.2.31.4
_NOBODY = 0xFFFF_FFFF_FFFF_FFFF  # the number of what a server says unasked
#: What no name on an SMB share can have in it: it would mean something else, or nothing.
_FORBIDDEN = frozenset('\\:*?"<>|')


class Answer(NamedTuple):
    """What came back: a status, and the rest of the message after its header."""

    status: int
    body: memoryview


class Session:
    """A session at one share; raises `Misconfigured` or `Unreachable` when there can be none.

    Not for several threads at once.
    """

    def __init__(self, address: SmbAddress) -> None:
        self.address = address
        self.label = address.label
        self._out: list[bytearray] = []
        self._waiting_out = 0
        self._awaited: set[int] = set()
        self._forgotten: set[int] = set()
        self._arrived: dict[int, Answer] = {}
        self._tree = _NO_TREE
        self._link = Link(address)
        try:
            self._login = log_in(self._link, address)
            self._credits, self._number = self._login.credits, self._login.number
            self._encrypts = self._login.encrypt
            self._large = bool(self._login.offer.capabilities & 0x04) and self._login.offer.dialect > DIALECTS[0]
            self._enter()
        except BaseException:
            self.close()
            raise
        offer = self._login.offer
        longest = CREDIT if not self._large else wire.LONGEST_MESSAGE // 2
        self.longest_read = min(offer.read, longest)
        self.longest_write = min(offer.write, longest)
        self.longest_listing = min(offer.transact, longest)

    def _enter(self) -> None:
        """Have the share given to us, and check that nobody talked us down to an older dialect."""
        share = self.address.share
        header, answer = self._raw(wire.tree_connect(f"\\\\{self.address.host}\\{share}"))
        if answer.status:
            raise share_refusal(self.label, share, answer.status)
        try:
            _, kind, _, flags, _, _ = struct.unpack_from("<HBBIII", answer.body)
        except struct.error as err:
            raise Garbled(f"{self.label}: the server's answer about its share is too short") from err
        if kind != _IS_DISK:
            raise Misconfigured(f"{self.label}: {share!a} is no share of files, but a printer or pipe; correct the URL")
        self._tree = header.tree
        if flags & _ENCRYPT_SHARE and not self._encrypts:
            if self._login.envelope is None:
                raise Misconfigured(f"{self.label}: the share must be encrypted, which a guest's session cannot be")
            self._encrypts = True
        if self._login.offer.dialect < SMB_3_1_1 and not self._login.guest:
            self._validate()

    def _validate(self) -> None:
        """Compare, under signature, what was agreed upon without one; [MS-SMB2] 3.2.5.5."""
        login, offer = self._login, self._login.offer
        said = struct.pack("<I16sHH", CAPABILITIES, login.client, SIGNING_REQUIRED, len(DIALECTS))
        said += struct.pack(f"<{len(DIALECTS)}H", *DIALECTS)
        head = struct.pack(
            "<HHI16sIIIIIIII", 57, 0, _VALIDATE, wire.THAT, HEADER.size + 56, len(said), 0, 0, 0, 24, 1, 0
        )
        answer = self.do(Ask(Command.IOCTL, head + said))
        if answer.status in {Status.FILE_CLOSED, Status.NOT_SUPPORTED, Status.INVALID_DEVICE_REQUEST}:
            if offer.dialect < SMB_3_0:
                return  # a server of that age, which says so under its signature
        elif not answer.status:
            with contextlib.suppress(struct.error):
                (start,) = struct.unpack_from("<32xI", answer.body)
                heard = struct.unpack_from("<I16sHH", answer.body, start - HEADER.size)
                if heard == (offer.capabilities, offer.guid, offer.security, offer.dialect):
                    return
        raise Misconfigured(
            f"{self.label}: the server did not say what we heard from it: somebody between us may weaken the "
            "connection; nothing is carried over it"
        )

    # -- requests and answers ----------------------------------------------------------------------------------

    def ask(self, request: Ask) -> int:
        """Put a request on its way and give its number; it leaves at the latest when an answer is waited for."""
        return self.chain([request])[0]

    def chain(self, requests: Sequence[Ask]) -> list[int]:
        """Put requests on their way that are done one after the other; all but the first use its handle."""
        charges = [self._charge(request) for request in requests]
        while self._credits < sum(max(charge, 1) for charge in charges):
            if not self._awaited and not self._forgotten:
                raise Garbled(f"{self.label}: the server grants no more requests")
            self._flush()
            self._take()
        numbers = []
        whole = bytearray()
        for place, (request, charge) in enumerate(zip(requests, charges, strict=True)):
            last = place == len(requests) - 1
            number = self._number
            self._number += max(charge, 1)
            self._credits -= max(charge, 1)
            whole += self._message(request, number, charge, last=last, related=place > 0)
            self._awaited.add(number)
            numbers.append(number)
        self._out.append(whole)
        self._waiting_out += len(whole)
        if self._waiting_out > _FLUSH_AT:
            self._flush()
        return numbers

    def _charge(self, request: Ask) -> int:
        return (max(request.data, 1) - 1) // CREDIT + 1 if self._large else 0

    def _message(self, request: Ask, number: int, charge: int, *, last: bool, related: bool) -> bytearray:
        length = HEADER.size + len(request.body)
        padding = 0 if last else -length % 8
        signs = self._login.sign is not None and not self._encrypts
        flags = (Flag.SIGNED if signs else 0) | (Flag.RELATED if related else 0)
        wanted = charge + max(0, CREDITS - self._credits)
        ahead = 0 if last else length + padding
        message = bytearray(
            HEADER.pack(
                b"\xfeSMB", 64, charge, 0, request.command, min(wanted, CREDITS), flags, ahead,
                number, 0, self._tree, self._login.session, bytes(16),
            )
        )  # fmt: skip
        message += request.body
        message += bytes(padding)
        if signs and self._login.sign is not None:
            sign(self._login.sign, message, number)
        return message

    def wait(self, number: int) -> Answer:
        """Return the answer to a request; raises `Cut`, `Silence`, or `Garbled` for what cannot be one."""
        while number not in self._arrived:
            if number not in self._awaited:
                raise RuntimeError("an answer was waited for that is not to come")
            self._flush()
            self._take()
        return self._arrived.pop(number)

    def has(self, number: int) -> bool:
        """Whether the answer to a request came already, so that `wait` gives it at once."""
        return number in self._arrived

    def do(self, request: Ask) -> Answer:
        """Ask for something and give the answer."""
        return self.wait(self.ask(request))

    def do_all(self, *requests: Ask) -> list[Answer]:
        """Ask for several things in one chain, and give their answers."""
        return [self.wait(number) for number in self.chain(requests)]

    def forget(self, number: int) -> None:
        """Let an answer come and go."""
        if self._arrived.pop(number, None) is None and number in self._awaited:
            self._awaited.remove(number)
            self._forgotten.add(number)

    def settle(self) -> bool:
        """Forget all answers that are still to come, which can always be done."""
        self._forgotten |= self._awaited
        self._awaited.clear()
        self._arrived.clear()
        return True

    def spare(self, answer: Answer) -> None:
        """Take the memory of an answer back, which nobody looks at any more."""
        if not answer.body.readonly:
            self._link.spare(answer.body)

    def _raw(self, request: Ask) -> tuple[Header, Answer]:
        """Ask for something whose answer's header matters, with nothing else on its way."""
        number = self.ask(request)
        self._flush()
        header = self._take()
        while number not in self._arrived:
            header = self._take()
        return header, self._arrived.pop(number)

    def _flush(self) -> None:
        out, self._out, self._waiting_out = self._out, [], 0
        if self._encrypts and self._login.envelope is not None:
            for one in out:
                self._link.send(self._login.envelope.closed(one))
        elif out:
            self._link.send_all(out)

    def _take(self) -> Header:
        """Receive one message, and put its answers where they are looked for; gives the last one's header."""
        message = self._link.receive()
        sealed = bytes(message[:4]) == b"\xfdSMB"
        if sealed:
            if self._login.envelope is None:
                raise Garbled(f"{self.label}: the server sent what only an encrypted session can read")
            message = self._login.envelope.opened(message)
        whole = len(message)
        while True:
            header = read_header(message)
            end = header.next or len(message)
            if end > len(message) or end < HEADER.size:
                raise Garbled(f"{self.label}: a chain of answers leads out of its message")
            lone = not header.next and end == whole
            self._file(header, message[:end], sealed=sealed, lone=lone)
            if not header.next:
                return header
            message = message[end:]

    def _file(self, header: Header, message: memoryview, *, sealed: bool, lone: bool) -> None:
        if header.number == _NOBODY:
            return  # news about oplocks, of which we hold none
        self._credits += header.credits
        if header.status == Status.PENDING and header.flags & Flag.ASYNC:
            return
        if header.status in OVER and header.status != Status.FILE_CLOSED:
            raise refusal(self.label, header.status, "asking for the next thing")
        if self._encrypts and not sealed:
            raise Garbled(f"{self.label}: an answer of the server is not encrypted, as all of this session must be")
        if not sealed and self._login.sign is not None:
            verify(self._login.sign, message, header.number, header.flags)
        if header.number in self._forgotten:
            self._forgotten.remove(header.number)
            if lone:
                self._link.spare(message)
        elif header.number in self._awaited:
            self._awaited.remove(header.number)
            body = message[HEADER.size :]
            # answers that came together share their memory, so none of them may be given away
            self._arrived[header.number] = Answer(header.status, body if lone else body.toreadonly())
        else:
            raise Garbled(f"{self.label}: the server answered what nobody asked")

    # -- questions of one answer -------------------------------------------------------------------------------

    def place(self, path: StorePath | str) -> bytes | None:
        """Return a path below the root as the server knows it; None for one that no file there can have."""
        whole = f"{self.address.root}/{path}".strip("/") if path else self.address.root
        if _FORBIDDEN & set(path):
            return None
        try:
            return whole.replace("/", "\\").encode("utf-16-le")
        except UnicodeEncodeError:  # bytes that are not UTF-8
            return None

    def look(self, path: StorePath) -> Facts | None:
        """Return what stands under a path; None for nothing."""
        place = self.place(path)
        if place is None:
            return None
        opened, closed = self.do_all(wire.create(place, wire.READ_ATTRIBUTES), wire.close())
        if not opened.status:
            self.tidy(opened, closed)
            return wire.read_opened(opened.body).facts
        if opened.status in NOT_THERE:
            return None
        raise self.refusal(opened.status, f"looking at {path!a}")

    def tidy(self, opened: Answer, closed: Answer) -> None:
        """Close what a chain opened but did not close, because something between failed."""
        if not opened.status and closed.status:
            self.forget(self.ask(wire.close(wire.read_opened(opened.body).handle)))

    def need_root(self) -> None:
        """Raise `Misconfigured` if the root is not there: a disk that is not mounted is no reason to miss a file."""
        found = self.look(ROOT)
        if found is None or not found.attributes & wire.IS_FOLDER:
            raise Misconfigured(
                f"{self.label}: the folder is not there in the share; make it, or correct the URL's path"
            )

    def refusal(self, status: int, doing: str) -> NightferryError:
        """Return the error that a status means which is no success."""
        return refusal(self.label, status, doing)

    def gone(self, path: StorePath) -> Gone:
        """Return the error of a file that is not there, having looked whether the root is."""
        self.need_root()
        return Gone(f"{self.label}: {path!a} is no longer there, or no plain file")

    # -- its life ----------------------------------------------------------------------------------------------

    def alive(self) -> bool:
        """Whether the server still answers; all answers still to come are passed over."""
        self.settle()
        try:
            self.need_root()
        except NightferryError:
            return False
        return True

    def close(self, *, politely: bool = False) -> None:
        """End the session; may be called again."""
        if politely:
            with contextlib.suppress(NightferryError):
                self.settle()
                self.do(wire.bare(Command.LOGOFF))
        self._link.close()


#: One call's way to a share.
SmbLease: TypeAlias = Lease[Session, None]

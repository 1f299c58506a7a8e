"""The way into a server: dialect, signing and encryption are agreed upon, and the user is proven.

[MS-SMB2] 3.2.4.2; the proof itself (NTLM, Kerberos where it is set up) is that of the package `pyspnego`.
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count

import spnego
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from spnego.exceptions import SpnegoError

from nightferry.core.errors import Misconfigured, Unreachable
from nightferry.stores.kit.sessions import Cut, Garbled
from nightferry.stores.smb.link import Link, SmbAddress
from nightferry.stores.smb.wire import HEADER, Command, Flag, Header, Status, login_refusal, read_header, told

# -- signatures and encryption ---------------------------------------------------------------------------------------
# [MS-SMB2] 3.1.4.1 (signing), 3.1.4.2 (keys), 3.1.4.3 (encryption). The cryptography itself is that of the package
# `cryptography`, so of OpenSSL.

_SIGNATURE = slice(48, 64)
_NO_SIGNATURE = bytes(16)
_TRANSFORM = struct.Struct("<4s16s16sIHHQ")
_GCM_NONCE = struct.Struct("<QI")

#: Makes a signature out of a whole message, its number, and whether the server sent it.
Sign = Callable[[memoryview, int, bool], bytes]


class Signing(IntEnum):
    """The ways to sign."""

    HMAC_SHA256 = 0
    AES_CMAC = 1
    AES_GMAC = 2


class Cipher(IntEnum):
    """The ways to encrypt; 0 for none."""

    NONE = 0
    AES128_CCM = 1
    AES128_GCM = 2


def derived(key: bytes, label: bytes, context: bytes) -> bytes:
    """Derive a key of 128 bits from a session's key."""
    kdf = KBKDFHMAC(
        algorithm=SHA256(),
        mode=Mode.CounterMode,
        length=16,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    )
    return kdf.derive(key)


def signer(way: Signing, key: bytes) -> Sign:
    """Return the function that signs with a key."""
    if way == Signing.AES_GMAC:
        seal = AESGCM(key)
        return lambda message, number, ours: seal.encrypt(_GCM_NONCE.pack(number, 0 if ours else 1), b"", message)
    if way == Signing.AES_CMAC:
        block = algorithms.AES(key)

        def cmac(message: memoryview, _number: int, _ours: bool) -> bytes:  # noqa: FBT001 - a Sign
            mac = CMAC(block)
            mac.update(bytes(message))
            return mac.finalize()

        return cmac
    return lambda message, _number, _ours: hmac.new(key, message, hashlib.sha256).digest()[:16]


def sign(way: Sign, message: bytearray, number: int) -> None:
    """Sign a request in place; its place for the signature is empty yet."""
    message[_SIGNATURE] = way(memoryview(message), number, True)


def verify(way: Sign, message: memoryview, number: int, flags: int) -> None:
    """Check that an answer is the server's and unchanged; raises `Garbled`."""
    if not flags & Flag.SIGNED:
        raise Garbled("an answer of the server is not signed, as all of this session must be")
    signature = bytes(message[_SIGNATURE])
    message[_SIGNATURE] = _NO_SIGNATURE
    if not hmac.compare_digest(signature, way(message, number, False)):
        raise Garbled("the signature of an answer is wrong: it was changed on its way")


@dataclass(slots=True)
class Envelope:
    """Encrypts all that goes out of one session, and opens all that comes in."""

    session: int
    ours: AESGCM | AESCCM
    theirs: AESGCM | AESCCM
    nonce_size: int
    _numbers: "count[int]" = field(default_factory=count)

    def closed(self, messages: bytes | bytearray) -> bytes:
        """Encrypt what is to be sent together."""
        nonce = next(self._numbers).to_bytes(self.nonce_size, "little")
        head = _TRANSFORM.pack(b"\xfdSMB", _NO_SIGNATURE, nonce, len(messages), 0, 1, self.session)
        sealed = self.ours.encrypt(nonce, messages, head[20:])
        return head[:4] + sealed[-16:] + head[20:] + sealed[:-16]

    def opened(self, message: memoryview) -> memoryview:
        """Decrypt what came together; raises `Garbled` when it is not the server's."""
        if len(message) < _TRANSFORM.size + HEADER.size:
            raise Garbled("the server sent an encrypted message that is too short")
        _, signature, nonce, _, _, _, session = _TRANSFORM.unpack_from(message)
        if session != self.session:
            raise Garbled("the server sent an encrypted message of another session")
        try:
            plain = self.theirs.decrypt(
                nonce[: self.nonce_size], bytes(message[_TRANSFORM.size :]) + signature, message[20 : _TRANSFORM.size]
            )
        except InvalidTag as err:
            raise Garbled("an encrypted answer cannot be opened: it was changed on its way") from err
        return memoryview(bytearray(plain))


def envelope(way: Cipher, session: int, ours: bytes, theirs: bytes) -> Envelope:
    """Make a session's envelope of its two keys."""
    if way == Cipher.AES128_GCM:
        return Envelope(session, AESGCM(ours), AESGCM(theirs), 12)
    return Envelope(session, AESCCM(ours), AESCCM(theirs), 11)


# -- the login -------------------------------------------------------------------------------------------------------

SMB_2_0_2, SMB_3_0, SMB_3_1_1 = 0x0202, 0x0300, 0x0311
DIALECTS = (SMB_2_0_2, 0x0210, SMB_3_0, 0x0302, SMB_3_1_1)
#: The most credits that are asked for, for megabytes on their way at once.
CREDITS = 512
#: Large reads and writes, and encryption; [MS-SMB2] 2.2.3.
CAPABILITIES = 0x04 | 0x40
_SIGNING_ENABLED, SIGNING_REQUIRED = 1, 2
_GUEST, _ANONYMOUS, _ENCRYPT = 1, 2, 4
_NEGOTIATED = struct.Struct("<HHHH16sIIIIQQHHI")
_PREAUTH_CONTEXT, _CIPHER_CONTEXT, _SIGNING_CONTEXT = 1, 2, 8
_GUEST_NAME = "Guest"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server said of itself at the first word."""

    dialect: int
    security: int
    guid: bytes
    capabilities: int
    transact: int
    read: int
    write: int
    token: bytes
    signing: Signing
    cipher: Cipher


@dataclass(frozen=True, slots=True)
class Login:
    """A session that the server opened for us; ``credits`` and ``number`` go on from here."""

    offer: Offer
    client: bytes
    session: int
    credits: int
    number: int
    sign: Sign | None
    envelope: Envelope | None
    encrypt: bool
    guest: bool


class Talk:
    """The messages before there is a session, with the digest over all of them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._digest = bytes(64)
        self.number = 0
        self.credits = 1

    @property
    def digest(self) -> bytes:
        """The digest over all that was said, but for an answer that ended well."""
        return self._digest

    def said(self, command: Command, body: bytes, session: int = 0, *, flags: int = 0) -> tuple[Header, memoryview]:
        """Send a request and give the answer's header, and the whole of it."""
        charge = 0 if self.number == 0 else 1
        head = HEADER.pack(b"\xfeSMB", 64, charge, 0, command, CREDITS, flags, 0, self.number, 0, 0, session, bytes(16))
        self._link.send(head + body)
        self._add(head + body)
        self.number += 1
        while True:
            message = self._link.receive()
            header = read_header(message)
            if header.number != self.number - 1 or header.command != command:
                raise Garbled("the server answered what nobody asked")
            self.credits += header.credits
            if header.status != Status.PENDING:
                break
        if command == Command.NEGOTIATE or header.status == Status.MORE_PROCESSING_REQUIRED:
            self._add(message)
        self.credits -= 1
        return header, message

    def _add(self, message: bytes | memoryview) -> None:
        self._digest = hashlib.sha512(self._digest + message).digest()


def log_in(link: Link, address: SmbAddress) -> Login:
    """Open a session on a fresh connection; raises `Misconfigured` or `Unreachable` when there can be none."""
    client = os.urandom(16)
    talk = Talk(link)
    offer = _negotiated(talk, address, client)
    return _proven(talk, address, client, offer)


def _negotiated(talk: Talk, address: SmbAddress, client: bytes) -> Offer:
    contexts = [
        (_PREAUTH_CONTEXT, struct.pack("<HHH", 1, 32, 1) + os.urandom(32)),
        (_CIPHER_CONTEXT, struct.pack("<HHH", 2, Cipher.AES128_GCM, Cipher.AES128_CCM)),
        (_SIGNING_CONTEXT, struct.pack("<HHHH", 3, Signing.AES_GMAC, Signing.AES_CMAC, Signing.HMAC_SHA256)),
    ]
    dialects = struct.pack(f"<{len(DIALECTS)}H", *DIALECTS)
    offset = _rounded(HEADER.size + 36 + len(dialects))
    body = struct.pack(
        "<HHHHI16sIHH", 36, len(DIALECTS), SIGNING_REQUIRED, 0, CAPABILITIES, client, offset, len(contexts), 0
    )
    body = (body + dialects).ljust(offset - HEADER.size, b"\0")
    for kind, value in contexts:
        body = body.ljust(_rounded(len(body)), b"\0") + struct.pack("<HHI", kind, len(value), 0) + value
    try:
        header, message = talk.said(Command.NEGOTIATE, body)
    except Cut as err:
        raise Unreachable(
            f"{err} at our first word; it is tried again later. A server that speaks SMB 1 only does that, too: "
            "switch SMB 2 or 3 on there"
        ) from err
    except Garbled as err:
        raise Misconfigured(f"{address.label}: {err}; is an SMB server at port {address.port}?") from err
    if header.status in {Status.NOT_SUPPORTED, Status.INVALID_PARAMETER}:
        raise Misconfigured(f"{address.label}: the server speaks no dialect of SMB 2 or 3 ({told(header.status)})")
    if header.status:
        raise Unreachable(f"{address.label}: no session ({told(header.status)}); it is tried again later")
    return _read_offer(address, message)


def _read_offer(address: SmbAddress, message: memoryview) -> Offer:
    try:
        found = _NEGOTIATED.unpack_from(message, HEADER.size)
        _, security, dialect, count, guid, capabilities, transact, read, write, _, _, start, length, offset = found
        signing = Signing.HMAC_SHA256 if dialect < SMB_3_0 else Signing.AES_CMAC
        cipher = Cipher.AES128_CCM if SMB_3_0 <= dialect < SMB_3_1_1 and capabilities & 0x40 else Cipher.NONE
        if dialect == SMB_3_1_1:
            for _ in range(count):
                kind, size = struct.unpack_from("<HH4x", message, offset)
                if kind in {_CIPHER_CONTEXT, _SIGNING_CONTEXT}:
                    (choice,) = struct.unpack_from("<2xH", message, offset + 8)
                    if kind == _CIPHER_CONTEXT:
                        cipher = Cipher(choice)
                    else:
                        signing = Signing(choice)
                offset = _rounded(offset + 8 + size)
    except (struct.error, ValueError) as err:
        raise Garbled(f"{address.label}: the server's first answer cannot be read ({err})") from err
    if dialect not in DIALECTS or min(read, write, transact) < 4096:  # noqa: PLR2004 - no server offers less
        raise Misconfigured(f"{address.label}: the server chose the dialect 0x{dialect:04X}, which was not offered")
    token = bytes(message[start : start + length])
    return Offer(dialect, security, guid, capabilities, transact, read, write, token, signing, cipher)


def _proven(talk: Talk, address: SmbAddress, client: bytes, offer: Offer) -> Login:
    who = f"{address.user!a}" if address.user else "a guest"
    session, token = 0, offer.token or None
    try:
        context = spnego.client(
            address.user or _GUEST_NAME,
            address.password or "",
            hostname=address.host,
            service="cifs",
            options=spnego.NegotiateOptions.session_key,
        )
        while True:
            words = _stepped(address, context, token) or b""
            body = struct.pack("<HBBIIHHQ", 25, 0, SIGNING_REQUIRED, 0, 0, HEADER.size + 24, len(words), 0) + words
            header, message = talk.said(Command.SESSION_SETUP, body, session)
            if header.status not in {Status.SUCCESS, Status.MORE_PROCESSING_REQUIRED}:
                raise login_refusal(address.label, header.status, who)
            session = header.session
            flags, token = _read_setup(address, message)
            if header.status == Status.SUCCESS:
                break
        if not context.complete:
            _stepped(address, context, token)
        key = context.session_key
    except SpnegoError as err:
        raise Misconfigured(f"{address.label}: no login as {who} ({err.message}); check user and secret") from err
    guest = bool(flags & (_GUEST | _ANONYMOUS))
    if guest and address.user:
        raise Misconfigured(
            f"{address.label}: the server does not know {who}, or not this password, and took us for a guest; "
            "check user and secret"
        )
    sign, cover = (None, None) if guest else _guards(talk, offer, session, key)
    encrypt = bool(flags & _ENCRYPT) or address.encrypt
    if encrypt and cover is None:
        raise Misconfigured(
            f"{address.label}: the session must be encrypted, and the server offers no cipher that we know for that "
            f"(dialect 0x{offer.dialect:04X}); switch on SMB 3 there, or leave 'encrypt' out"
        )
    if sign is not None:
        verify(sign, message, header.number, header.flags)
    return Login(offer, client, session, talk.credits, talk.number, sign, cover, encrypt, guest)


def _stepped(address: SmbAddress, context: spnego.ContextProxy, token: bytes | None) -> bytes | None:
    """Go on with the proof; raises `Garbled` for words of the server that `pyspnego` stumbles over."""
    try:
        return context.step(token)
    except (ValueError, LookupError, OverflowError, TypeError, AttributeError, struct.error) as err:
        raise Garbled(f"{address.label}: the server's part of the login cannot be read ({err})") from err


def _read_setup(address: SmbAddress, message: memoryview) -> tuple[int, bytes]:
    try:
        _, flags, start, length = struct.unpack_from("<HHHH", message, HEADER.size)
    except struct.error as err:
        raise Garbled(f"{address.label}: the server's answer to our login is too short") from err
    return flags, bytes(message[start : start + length])


def _guards(talk: Talk, offer: Offer, session: int, key: bytes) -> tuple[Sign, Envelope | None]:
    key = key[:16].ljust(16, b"\0")
    if offer.dialect < SMB_3_0:
        return signer(Signing.HMAC_SHA256, key), None
    if offer.dialect < SMB_3_1_1:
        signing = derived(key, b"SMB2AESCMAC\0", b"SmbSign\0")
        ours, theirs = (derived(key, b"SMB2AESCCM\0", end) for end in (b"ServerIn \0", b"ServerOut\0"))
    else:
        signing = derived(key, b"SMBSigningKey\0", talk.digest)
        ours, theirs = (derived(key, label, talk.digest) for label in (b"SMBC2SCipherKey\0", b"SMBS2CCipherKey\0"))
    cover = envelope(offer.cipher, session, ours, theirs) if offer.cipher != Cipher.NONE else None
    return signer(offer.signing, signing), cover


def _rounded(offset: int) -> int:
    return offset + 7 & ~7

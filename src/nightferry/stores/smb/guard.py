"""What keeps a session's messages whole and, if wished, unread: signatures and encryption.

[MS-SMB2] 3.1.4.1 (signing), 3.1.4.2 (keys), 3.1.4.3 (encryption). The cryptography itself is that of the package
`cryptography`, so of OpenSSL.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from nightferry.stores.sessions import Garbled
from nightferry.stores.smb.wire import HEADER, Flag

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
    """Give the function that signs with a key."""
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
    """See to it that an answer is the server's and unchanged; raises `Garbled`."""
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

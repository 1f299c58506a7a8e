"""What an SMB server answers when it does not do what was asked: NT status codes, as the errors of who must act.

The codes: [MS-ERREF] 2.3.1, https://learn.microsoft.com/openspecs/windows_protocols/ms-erref
"""

from enum import IntEnum

from nightferry.core.errors import Gone, Misconfigured, NightferryError, NoSpace, Occupied, TryAgain, Unreachable
from nightferry.stores.sessions import Cut


class Status(IntEnum):
    """The answers that mean something to us."""

    SUCCESS = 0
    PENDING = 0x00000103
    NO_MORE_FILES = 0x80000006
    STOPPED_ON_SYMLINK = 0x8000002D
    INVALID_PARAMETER = 0xC000000D
    NO_SUCH_FILE = 0xC000000F
    INVALID_DEVICE_REQUEST = 0xC0000010
    END_OF_FILE = 0xC0000011
    MORE_PROCESSING_REQUIRED = 0xC0000016
    ACCESS_DENIED = 0xC0000022
    OBJECT_NAME_INVALID = 0xC0000033
    OBJECT_NAME_NOT_FOUND = 0xC0000034
    OBJECT_NAME_COLLISION = 0xC0000035
    OBJECT_PATH_NOT_FOUND = 0xC000003A
    OBJECT_PATH_SYNTAX_BAD = 0xC000003B
    SHARING_VIOLATION = 0xC0000043
    QUOTA_EXCEEDED = 0xC0000044
    FILE_LOCK_CONFLICT = 0xC0000054
    DELETE_PENDING = 0xC0000056
    NO_LOGON_SERVERS = 0xC000005E
    NO_SUCH_USER = 0xC0000064
    WRONG_PASSWORD = 0xC000006A
    LOGON_FAILURE = 0xC000006D
    ACCOUNT_RESTRICTION = 0xC000006E
    INVALID_LOGON_HOURS = 0xC000006F
    INVALID_WORKSTATION = 0xC0000070
    PASSWORD_EXPIRED = 0xC0000071
    ACCOUNT_DISABLED = 0xC0000072
    DISK_FULL = 0xC000007F
    INSUFFICIENT_RESOURCES = 0xC000009A
    MEDIA_WRITE_PROTECTED = 0xC00000A2
    FILE_IS_A_DIRECTORY = 0xC00000BA
    NOT_SUPPORTED = 0xC00000BB
    NETWORK_NAME_DELETED = 0xC00000C9
    BAD_NETWORK_NAME = 0xC00000CC
    REQUEST_NOT_ACCEPTED = 0xC00000D0
    NOT_A_DIRECTORY = 0xC0000103
    NAME_TOO_LONG = 0xC0000106
    CANNOT_DELETE = 0xC0000121
    FILE_DELETED = 0xC0000123
    FILE_CLOSED = 0xC0000128
    LOGON_TYPE_NOT_GRANTED = 0xC000015B
    ACCOUNT_EXPIRED = 0xC0000193
    USER_SESSION_DELETED = 0xC0000203
    PASSWORD_MUST_CHANGE = 0xC0000224
    ACCOUNT_LOCKED_OUT = 0xC0000234
    PATH_NOT_COVERED = 0xC0000257
    VOLUME_DISMOUNTED = 0xC000026E
    NETWORK_SESSION_EXPIRED = 0xC000035C


#: No file is there under that name: it never was, it is gone, or no file can have the name.
NOT_THERE = frozenset({
    Status.NO_SUCH_FILE, Status.OBJECT_NAME_NOT_FOUND, Status.OBJECT_PATH_NOT_FOUND, Status.OBJECT_NAME_INVALID,
    Status.OBJECT_PATH_SYNTAX_BAD, Status.DELETE_PENDING, Status.FILE_IS_A_DIRECTORY, Status.NOT_A_DIRECTORY,
    Status.FILE_DELETED, Status.STOPPED_ON_SYMLINK, Status.NAME_TOO_LONG,
})  # fmt: skip
#: The session is over, whatever was asked.
OVER = frozenset({
    Status.USER_SESSION_DELETED, Status.NETWORK_SESSION_EXPIRED, Status.NETWORK_NAME_DELETED, Status.FILE_CLOSED,
    Status.VOLUME_DISMOUNTED,
})  # fmt: skip
_FORBIDDEN = frozenset({Status.ACCESS_DENIED, Status.MEDIA_WRITE_PROTECTED, Status.CANNOT_DELETE})
_FULL = frozenset({Status.DISK_FULL, Status.QUOTA_EXCEEDED})
_BUSY = frozenset({Status.SHARING_VIOLATION, Status.FILE_LOCK_CONFLICT})
_SPENT = {
    Status.PASSWORD_EXPIRED: "the password has expired; set a new one, and give it in 'secret'",
    Status.PASSWORD_MUST_CHANGE: "the password must be changed first; set a new one, and give it in 'secret'",
    Status.ACCOUNT_DISABLED: "the account is disabled; enable it there",
    Status.ACCOUNT_EXPIRED: "the account has expired; prolong it there",
    Status.ACCOUNT_LOCKED_OUT: "the account is locked; unlock it there, and look who tries passwords",
    Status.ACCOUNT_RESTRICTION: "the account is restricted (Windows refuses empty passwords); give it a password",
    Status.INVALID_LOGON_HOURS: "the account may not log in at this hour; allow the whole night there",
    Status.INVALID_WORKSTATION: "the account may not log in from this machine; allow it there",
    Status.LOGON_TYPE_NOT_GRANTED: "the account may not log in over the network; grant it that right there",
}
_WRONG = frozenset({Status.LOGON_FAILURE, Status.WRONG_PASSWORD, Status.NO_SUCH_USER, Status.ACCESS_DENIED})


def told(status: int) -> str:
    """Name a status as its documentation does."""
    return f"STATUS_{Status(status).name}" if status in Status.__members__.values() else f"status 0x{status:08X}"


def refusal(label: str, status: int, doing: str) -> NightferryError:
    """Tell a status that is no success as the error it means."""
    what, name = f"{label}: {doing}", told(status)
    if status in OVER:
        return Cut(f"{what}: the server ended the session or took the share away ({name}); it is tried again later")
    if status in NOT_THERE:
        return Gone(f"{what}: it is not there, or no plain file ({name})")
    if status in _BUSY:
        return TryAgain(
            f"{what}: another program has it open and lets nobody else ({name}); it is tried again later. If that "
            "stays so, close the file there"
        )
    if status in _FORBIDDEN:
        return TryAgain(f"{what}: the login may not do that ({name}); check the rights of the share and of the folder")
    if status in _FULL:
        return NoSpace(f"{what}: the disk there is full, or our quota is used up ({name}); free some space there")
    if status == Status.OBJECT_NAME_COLLISION:
        return Occupied(f"{what}: the name is taken; nothing was changed there")
    if status == Status.PATH_NOT_COVERED:
        return Misconfigured(f"{what}: that lies on another server (DFS); name that server in the URL")
    return TryAgain(f"{what}: expected success, the server answered {name}; it is tried again later")


def login_refusal(label: str, status: int, who: str) -> NightferryError:
    """Tell why a server did not let us in; ``who`` is how we named ourselves."""
    name = told(status)
    if status in _SPENT:
        return Misconfigured(f"{label}: no login as {who}: {_SPENT[Status(status)]} ({name})")
    if status in _WRONG:
        return Misconfigured(
            f"{label}: the server refuses the login of {who} ({name}); check user, secret and domain "
            "(user = 'DOMAIN\\\\name' for an account of a Windows domain)"
        )
    return Unreachable(f"{label}: no login as {who}, the server answered {name}; it is tried again later")


def share_refusal(label: str, share: str, status: int) -> NightferryError:
    """Tell why a server did not let us at a share."""
    name = told(status)
    if status == Status.BAD_NETWORK_NAME:
        return Misconfigured(f"{label}: the server has no share {share!a} ({name}); correct the URL, or share it there")
    if status == Status.ACCESS_DENIED:
        return Misconfigured(f"{label}: the login may not use the share {share!a} ({name}); grant it that there")
    return Unreachable(f"{label}: the share {share!a} cannot be used now ({name}); it is tried again later")

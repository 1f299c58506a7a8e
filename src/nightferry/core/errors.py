"""Every error that nightferry raises on purpose, sorted by who must act.

    NightferryError
    +-- Misconfigured      the operator must act; nothing starts        (exit code 2)
    +-- TryAgain           the world is at fault; tried again later     (outcome ``failed``, exit code 3)
    |   +-- Unreachable    the whole store is out of reach, not one file
    |   +-- Changed        a file changed while it was carried
    |   +-- NoSpace        a disk is full, or filled to its floor
    |   +-- Busy           another nightferry holds what we need
    +-- Held               the data are at fault; a person must look    (outcome ``held``, exit code 1)
    |   +-- Occupied       other bytes stand under the name already
    |   +-- Gone           the file is no longer there
    +-- Stopped            somebody asked us to stop; no receipt is left

Anything else that is raised is a bug in nightferry (outcome ``broken``).
A message says what was expected, what was found, where, and what to do.
"""


class NightferryError(Exception):
    """Something that nightferry foresaw; see its three kinds."""


class Misconfigured(NightferryError):  # noqa: N818 - named by who must act, not by being an error
    """The operator must change something before this can work."""


class TryAgain(NightferryError):  # noqa: N818
    """The world failed us (network, disk, server); the same work is tried again."""


class Unreachable(TryAgain):
    """The store as a whole cannot be reached, so asking it for the next file is pointless."""


class NotMounted(Unreachable):
    """The folder is there and empty, where files were before: what should be mounted on it most likely is not."""


class Changed(TryAgain):
    """The file changed while it was carried, so what arrived is not one state of it."""


class NoSpace(TryAgain):
    """The disk is full, or as full as the configuration allows."""


class Busy(TryAgain):
    """Another nightferry is at the same work."""


class Held(NightferryError):  # noqa: N818
    """The data are at fault; the frame waits for a person."""


class Occupied(Held):
    """Other bytes stand under this name already; nothing is ever overwritten."""


class Gone(Held):
    """The file is no longer where it was seen."""


class Stopped(NightferryError):  # noqa: N818
    """Somebody asked us to stop; the work in hand is left as it was and leaves no receipt."""

"""Tests of what may not be read or written, also for those who run their tests as root."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# capabilities(7): root's powers to pass over the rights of files, as bits
_PASSING_OVER = 1 << 1 | 1 << 2 | 1 << 3  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
_VERSION = 0x20080522  # of the call: two words of 32 bits for each set


@contextmanager
def bound_by_rights() -> Iterator[None]:
    """Let the rights of files bind this thread, and those it starts, even if they are root's.

    Root on Linux gives up its powers for as long; elsewhere tests about rights are run by somebody else.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    powers = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; the low words first
    if libc.capget(header, powers) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    before = powers[0]
    powers[0] &= ~_PASSING_OVER
    if libc.capset(header, powers) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        powers[0] = before
        if libc.capset(header, powers) != 0:
            raise OSError(ctypes.get_errno(), "capset")

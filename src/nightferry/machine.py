"""The machine: what a process that carries asks of its system before it begins."""

import ctypes
import sys

#: glibc's name for the most arenas that threads are spread over (malloc.h, `M_ARENA_MAX`).
_ARENA_MAX = -8
#: So many files are open at the most: a batch on each connection, several telescopes, ledgers, libraries.
_FILES = 8192


def prepare() -> None:
    """Have memory come from one arena, and files be open in the numbers that carrying needs; where it can be asked.

    glibc gives each thread an arena of its own and hands little of it back: a run of four telescopes has some forty
    threads, of which only one computes at a time, and took 30 MB more and grew on. Elsewhere this does nothing.
    """
    if sys.platform == "linux":
        _spare_arenas()
    if sys.platform != "win32":
        _allow_files()


def _spare_arenas() -> None:
    try:
        ask = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # a libc that knows no such option, such as musl's
        return
    ask(_ARENA_MAX, 1)


def _allow_files() -> None:
    """Raise the soft limit of open files, which is 256 on macOS and 1,024 on most Linuxes, towards the hard one."""
    import resource  # noqa: PLC0415 - not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # macOS keeps a limit of its own below the one that it tells
        return

"""Exit codes, and the errors that lead to them."""

import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from nightferry.core.display import display
from nightferry.core.errors import Held, Misconfigured, NightferryError

if TYPE_CHECKING:  # --help, too, comes by here
    from nightferry.core.balance import Balance

DONE, HELD, MISCONFIGURED, FAILED, BUG, INTERRUPTED = 0, 1, 2, 3, 70, 130


def guarded(command: Callable[[], object]) -> None:
    """Run the command line and turn what is raised into a sentence on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        command()
    except NightferryError as err:
        say_error(str(err))
        sys.exit(code_of(err))
    except SystemExit as end:  # what typer makes of two things that are ours to tell
        if isinstance(end.__context__, BrokenPipeError):  # whoever read our output has seen enough
            sys.exit(DONE)
        if end.code == INTERRUPTED:
            _say_stopped()
        raise
    except KeyboardInterrupt:
        _say_stopped()
        sys.exit(INTERRUPTED)
    except OSError as err:  # a disk or a network that fails is the world's affair
        from nightferry.disk.errors import unforeseen

        say_error(str(unforeseen(err)))
        sys.exit(FAILED)
    except Exception as err:  # noqa: BLE001 - the end of the command, whatever it was
        say_error(_bug_words(err))
        sys.exit(BUG)


def _bug_words(err: Exception) -> str:
    """Write the traceback into a file, and return what to report and where it is."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(err))
    what = f"a bug in nightferry ended the command ({type(err).__name__}: {err})"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="nightferry-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as report:
            report.write(text)
    except OSError as no_room:
        return f"{what}; its traceback could not be written: {no_room}\n{text}"
    return f"{what}; please report it with the traceback in {report.name}"


def _say_stopped() -> None:
    say_error("stopped; nothing is half-written, and the same command goes on from here")


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def say_error(text: str) -> None:
    """Print a message for the operator on stderr, each line made harmless."""
    lines = "\n".join(display(line) for line in text.splitlines())
    print(f"nightferry: {lines}", file=sys.stderr, flush=True)  # noqa: T201 - this is where errors are printed


def code_of(err: NightferryError) -> int:
    """Return the exit code of an error, by who must act."""
    if isinstance(err, Misconfigured):
        return MISCONFIGURED
    return HELD if isinstance(err, Held) else FAILED


def code_of_balances(balances: "Sequence[Balance]", *, whole: bool = True) -> int:
    """Return the exit code of nights: what needs a person comes before what mends itself.

    Without ``whole`` the frames were not meant to go all the way, and those on their way are no failure.
    """
    if any(balance.held or not (balance.balanced and balance.complete) for balance in balances):
        return HELD
    if any(balance.failed or (whole and balance.pending) for balance in balances):
        return FAILED
    return DONE

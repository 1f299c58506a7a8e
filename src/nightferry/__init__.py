"""nightferry carries each night's frames from a telescope to its archives, and proves that nothing was lost.

What the commands do is callable from Python; see `nightferry.api` for an example::

    import nightferry

    config = nightferry.load()
    with nightferry.open_ledger(config) as ledger:
        done = nightferry.run(config, ledger, "vespera", ["all"])
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nightferry.api import (
        Hands,
        Orders,
        Pass,
        alert,
        audit,
        clear,
        find_any,
        find_one,
        load,
        loads,
        open_ledger,
        release,
        restore,
        retry,
        run,
        watch,
    )

__version__ = "0.1.0"
__all__ = [
    "Hands",
    "Orders",
    "Pass",
    "__version__",
    "alert",
    "audit",
    "clear",
    "find_any",
    "find_one",
    "load",
    "loads",
    "open_ledger",
    "release",
    "restore",
    "retry",
    "run",
    "watch",
]


def __getattr__(name: str) -> object:
    """Load the public names when they are first asked for, so that ``--help`` need not wait for them."""
    if name not in __all__:
        raise AttributeError(f"module 'nightferry' has no attribute {name!r}")
    from nightferry import api  # noqa: PLC0415 - see above

    return getattr(api, name)

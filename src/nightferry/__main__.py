"""The start of every command, as ``nightferry`` and as ``python -m nightferry``.

Worker processes import the program that they were started from, too, under another name; so nothing of the command line
is imported at the top.
"""

import gc
import os


def main() -> None:
    """Run the command line; the entry point of the ``nightferry`` command."""
    # Start-up makes some 100,000 lasting objects, and each full collection walks them all for nothing (a tenth of
    # the start-up time); what a pass leaves behind is freed by its reference counts.
    gc.set_threshold(100_000, 20, 50)
    # Looking for plug-ins, pydantic reads the metadata of every package that is installed; our models have none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")

    from nightferry.cli.app import main as command_line  # noqa: PLC0415 - see above

    command_line()


if __name__ == "__main__":
    main()

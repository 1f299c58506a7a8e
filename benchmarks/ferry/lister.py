"""Prints every path that a nightferry store lists: ``lister.py HOST PORT USER PASSWORD FOLDER``.

The tool itself has no command that prints a listing; this is the listing inside its pass, with a Python's start.
"""

import sys

from nightferry.core.store import Oddity
from nightferry.stores.ftp.store import FtpStore
from nightferry.stores.ftp.wire import FtpAddress


def main() -> None:
    """List the folder."""
    host, port, user, password, folder = sys.argv[1:]
    store = FtpStore(FtpAddress(host=host, port=int(port), root=folder, user=user, password=password))
    write = sys.stdout.write
    for item in store.list():
        if isinstance(item, Oddity):
            raise SystemExit(f"unexpected: {item}")
        write(f"{item.path}\n")
    store.close()


main()

"""Runs sync_vespera.py with its settings set from outside: ``seed.py SCRIPT HOST PORT USER PASSWORD REMOTE LOCAL``.

The script has its settings in its source and no options for them. It runs here in its ``--cli`` way, which draws
no progress and so is its fastest.
"""

import ftplib
import runpy
import sys
from pathlib import Path


def main() -> None:
    """Load the script, change its settings and start it."""
    script, host, port, user, password, remote, local = sys.argv[1:]
    program = runpy.run_path(script, run_name="sync_vespera")
    program["DEFAULT_CONFIG"].update(
        FTP_SERVER=host, FTP_USER=user, FTP_PASSWORD=password, REMOTE_DIR=remote, LOCAL_DIR=Path(local)
    )
    ftplib.FTP.port = int(port)
    sys.argv = [script, "--cli"]
    program["main"]()


main()

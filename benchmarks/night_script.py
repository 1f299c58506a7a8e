"""The rival of whole nights: `transfer_Astra.csh` as SPECULOOS' observatory runs it, on a hub made of folders.

The script and what it calls are no part of this project. Where somebody has a checkout of them, they run here as they
are, every byte of them; only the commands that leave the machine are replaced, by the first entry of PATH:

- ``mount``: does nothing, for the control PC's folder is on this disk already, as for nightferry;
- ``sshpass`` (the log's copy to another institute, by scp): copies the file here, without the seconds of a login;
- ``solve-field``: the real one, told where the index files of this benchmark are, which Debian's own configuration
  cannot know. It runs with the words of the script and ``--backend-config``.

`mail_alert.py` is the script's own; it is called when frames are lost, and then the run counts as failed. No conda is
found, so ``python3`` is the interpreter of this benchmark, with its astropy, which is kept off the network as on a hub
that is behind a firewall. All of it favours the script: nothing it does waits for a network, and it makes nothing
durable, digests nothing and checks nothing but the number of its frames.
"""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

#: What the checkout must have.
NEEDED = ("transfer_Astra.csh", "astrometry.py", "headerfix.py", "mail_alert.py")
_MOUNT = "#!/bin/sh\nexit 0\n"
_SSHPASS = '#!/bin/sh\n# sshpass -p WORD scp FILE WHERE\nexec cp "$4" "{far}/"\n'
_SOLVE = '#!/bin/sh\nexec "{real}" --backend-config "{settings}" "$@"\n'
_WORDS = {
    "CAMBRIDGE_SERVER_USER": "nobody", "CAMBRIDGE_SERVER_HOST": "localhost", "CAMBRIDGE_SERVER_PASSWORD": "none",
    "CAMBRIDGE_SERVER_PATH": "/", "CONTROL_PC_USER": "nobody", "CONTROL_PC_PASSWORD": "none",
    "CONTROL_PC_IP": "127.0.0.1", "CONTROL_PC_PATH": "/", "SMTP_SERVER": "127.0.0.1:9", "TELESCOPE_NAME": "Io",
}  # fmt: skip


@dataclass(frozen=True)
class Hub:
    """A machine that the script finds ready: its command, its environment, and the folder that it delivers to."""

    command: list[str]
    environment: dict[str, str]
    delivered: Path


def missing(seed: Path | None) -> str:
    """Say why the script cannot run here; empty when it can."""
    if seed is None:
        return "without --seed DIR, a checkout of SPECULOOS' scripts, transfer_Astra.csh is left out"
    lacking = [name for name in NEEDED if not (seed / name).is_file()]
    if lacking:
        return f"transfer_Astra.csh is left out: {seed} has no {', '.join(lacking)}"
    if shutil.which("tcsh") is None:
        return "transfer_Astra.csh is left out: there is no tcsh here; Debian: apt-get install tcsh"
    return ""


def make_hub(seed: Path, home: Path, source: Path, date: str, indexes: list[Path]) -> Hub:
    """Make the folders, credentials and commands that the script needs; ``source`` holds the nights' folders."""
    work = {name: home / name for name in ("work", "logs", "eso", "far", "bin")}
    for folder in work.values():
        folder.mkdir()
    settings = home / "engine.cfg"
    paths = "".join(f"add_path {index}\n" for index in indexes)
    settings.write_text(f"cpulimit 300\n{paths}autoindex\n", encoding="utf-8")  # but for the paths, Debian's own
    _program(work["bin"] / "mount", _MOUNT)
    _program(work["bin"] / "sshpass", _SSHPASS.format(far=work["far"]))
    if (real := shutil.which("solve-field")) is not None:
        _program(work["bin"] / "solve-field", _SOLVE.format(real=real, settings=settings))
    words = _WORDS | {
        "ACP_LOCAL_PATH": str(source), "DATA_DIR": str(work["work"]), "LOG_DIR": str(work["logs"]),
        "ESO_DIR": str(work["eso"]), "PYTHON_SCRIPTS_PATH": str(seed),
    }  # fmt: skip
    lines = (f'setenv {name} "{word}"\n' for name, word in words.items())
    (home / ".credentials.csh").write_text("".join(lines), encoding="utf-8")
    astropy = home / "config/astropy"
    astropy.mkdir(parents=True)
    (astropy / "astropy.cfg").write_text("[utils.iers.iers]\nauto_download = False\n", encoding="utf-8")
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PYTHONWARNINGS": "ignore",
        "PATH": os.pathsep.join((str(work["bin"]), str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    return Hub(["tcsh", "-f", str(seed / "transfer_Astra.csh"), date], environment, work["eso"])


def _program(place: Path, text: str) -> None:
    place.write_text(text, encoding="utf-8")
    place.chmod(0o755)

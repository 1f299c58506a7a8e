"""Secrets are references, read when they are needed; their values never stand in a configuration or a message."""

import os
import stat
from pathlib import Path

from nightferry.core.errors import Misconfigured

_KINDS = "env:NAME, file:PATH or keyring:SERVICE"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_reference(reference: str) -> str:
    """Return a well-formed reference; raise ValueError for anything else, without repeating what was written."""
    kind, _, rest = reference.partition(":")
    if kind not in {"env", "file", "keyring"} or not rest:
        # what stands here may be the password itself, so it is not shown
        raise ValueError(f"a secret is a reference ({_KINDS}), never the secret itself")
    return reference


def read_secret(reference: str, *, user: str = "") -> str:
    """Read the secret that a reference names; raise `Misconfigured` when it cannot be had safely."""
    kind, _, rest = reference.partition(":")
    if kind == "env":
        value = os.environ.get(rest)
        if value is None:
            raise Misconfigured(f"secret {reference}: the environment has no variable {rest}; set it")
        return value
    if kind == "file":
        return _read_file(Path(rest).expanduser(), reference)
    return _read_keyring(rest, user, reference)


def _read_file(path: Path, reference: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            # the open file is judged, not the name: a name can be exchanged between two calls
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & _OTHERS:
                raise Misconfigured(
                    f"secret {reference}: others may read it (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}"
                )
            return file.read().rstrip("\r\n")
    except FileNotFoundError as err:
        raise Misconfigured(f"secret {reference}: there is no such file; write the password into it") from err
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(f"secret {reference}: cannot be read: {err}") from err


def _read_keyring(service: str, user: str, reference: str) -> str:
    try:
        import keyring  # noqa: PLC0415 - an optional extra
        import keyring.errors  # noqa: PLC0415
    except ImportError as err:
        raise Misconfigured(f"secret {reference}: needs the extra; run: pip install 'nightferry[keyring]'") from err
    try:
        value: str | None = keyring.get_password(service, user)
    except keyring.errors.KeyringError as err:
        raise Misconfigured(f"secret {reference}: the keyring does not answer: {err}") from err
    if value is None:
        raise Misconfigured(f"secret {reference}: the keyring has none for {user!r}; run: keyring set {service} {user}")
    return value

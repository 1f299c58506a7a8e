"""Moving over: the text of a configuration and secrets, made of the credentials that C-shell transfer scripts read.

The variables are those of the SPECULOOS scripts (their CREDENTIALS_SETUP page); a ``.env`` file with ``NAME=value``
lines is read as well. What cannot be translated is said, and no value of a secret is ever shown.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from nightferry.config import TelescopeConfig, preset_names
from nightferry.core.errors import Misconfigured

_SET = re.compile(
    r"\s*(?:setenv\s+(?P<name>\w+)\s+|set\s+(?P<local>\w+)\s*=\s*|(?:export\s+)?(?P<env>\w+)=)(?P<rest>.*)"
)
_PIECE = re.compile(r"""'(?P<plain>[^']*)'|"(?P<double>(?:\\.|[^"\\])*)"|(?P<bare>(?:\\.|[^\s'"#;`\\]|(?<=\S)\#)+)""")
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
#: Variables that have no counterpart, and why nobody misses them.
_NEEDLESS = {
    "PYTHON_SCRIPTS_PATH": "nightferry needs no scripts",
    "TELESCOPE_BASE_DIR": "folders are named one by one",
    "PATH": "nightferry calls nothing by it",
    "PYTHONHOME": "nightferry has an environment of its own",
    "PYTHONPATH": "nightferry has an environment of its own",
}
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(slots=True)
class Moved:
    """What became of the files: the configuration's text, secret files to write, and what to say."""

    text: str = ""
    secrets: dict[Path, str] = field(default_factory=dict, repr=False)
    notes: list[str] = field(default_factory=list)


def translated_credentials(files: Sequence[Path], folder: Path) -> Moved:
    """Translate credentials files, one for each telescope; ``folder`` is where the configuration will be.

    Raises `Misconfigured` for a file that cannot be read or names no telescope.
    """
    moved = Moved()
    parts: list[str] = []
    telescopes: list[tuple[str, dict[str, str]]] = []
    shared: dict[str, str] = {}
    for file in files:
        found = dict(_variables(file, moved.notes))
        shared = found | shared
        if "TELESCOPE_NAME" in found:
            telescopes.append((_name(found["TELESCOPE_NAME"], file), found))
        elif not any(name.startswith(("SMTP_", "EMAIL_")) for name in found):
            raise Misconfigured(f"{file} sets no TELESCOPE_NAME, so it says nothing of a telescope")
    if not telescopes:
        raise Misconfigured("none of the files sets TELESCOPE_NAME; name a telescope's .credentials.csh with --from")
    secrets = folder / "secrets"
    for name, found in telescopes:
        if "CAMBRIDGE_SERVER_PASSWORD" in shared:  # which may stand in .env alone
            found.setdefault("CAMBRIDGE_SERVER_PASSWORD", shared["CAMBRIDGE_SERVER_PASSWORD"])
        moved.notes.append(f"{name}: set telescope.{name}.program, or name it with each run: --program ID")
        parts.append(_telescope(name, found, secrets, moved))
    parts += [_books(telescopes, secrets, moved), _alerts(shared, secrets, moved)]
    head = _HEAD.format(shelf=_toml(f"{shared.get('DATA_DIR', '~/nightferry').rstrip('/')}/nightferry"))
    moved.text = "\n".join([head, *(part for part in parts if part)])
    known = _KNOWN | _NEEDLESS.keys()
    for name in sorted({name for _, found in telescopes for name in found} | shared.keys()):
        if name in _NEEDLESS:
            moved.notes.append(f"{name} is left out: {_NEEDLESS[name]}")
        elif name not in known:
            moved.notes.append(f"{name} is not translated: nightferry knows no such setting")
    return moved


_KNOWN = {
    "TELESCOPE_NAME", "CONTROL_PC_USER", "CONTROL_PC_PASSWORD", "CONTROL_PC_IP", "CONTROL_PC_PATH", "ACP_LOCAL_PATH",
    "DATA_DIR", "LOG_DIR", "ESO_DIR", "CAMBRIDGE_SERVER_USER", "CAMBRIDGE_SERVER_HOST", "CAMBRIDGE_SERVER_PASSWORD",
    "CAMBRIDGE_SERVER_PATH", "SMTP_SERVER", "SMTP_LOGIN", "SMTP_PASSWORD", "EMAIL_FROM", "EMAIL_TO", "EMAIL_CC",
}  # fmt: skip
_HEAD = """\
# Made of the transfer scripts' credentials by: nightferry init --from
# Every key: docs/reference/configuration.md

[shelf]
# Working files, kept until delivered and proven.
path = "{shelf}"
floor = "5 GB"
"""


def _variables(file: Path, notes: list[str]) -> Iterator[tuple[str, str]]:
    """Read the variables that a file sets, with those before them filled in."""
    try:
        if os.name == "posix" and file.stat().st_mode & _OTHERS:
            notes.append(f"{file} can be read by others; run: chmod 600 {file}, and change the passwords in it")
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(f"{file} cannot be read: {err}") from err
    known: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        found = _SET.match(line)
        if found is None or line.lstrip().startswith("#"):
            continue
        name = found["name"] or found["local"] or found["env"]
        try:
            rest = found["rest"].strip()
            plain = found["env"] and rest[:1] not in {'"', "'"}  # in .env, what has no quotes is as it stands
            known[name] = rest if plain else _value(rest, known)
        except ValueError as err:
            notes.append(f"{file}:{number}: {name} is not translated: {err}")
    yield from known.items()


def _value(rest: str, known: Mapping[str, str]) -> str:
    """Read a value as the C shell would, as far as that needs no shell; raises `ValueError` where it does."""
    value, place = "", 0
    while place < len(rest) and (found := _PIECE.match(rest, place)):
        place = found.end()
        if found["plain"] is not None:
            value += found["plain"]
            continue
        text = found["double"] if found["double"] is not None else found["bare"]
        if "`" in text:
            raise ValueError("it is the output of a command")
        value += re.sub(r"\\(.)", r"\1", _VARIABLE.sub(lambda one: _known(one, known), text))
    if place < len(rest) and not re.match(r"\s*(?:[#;].*)?$", rest[place:]):
        raise ValueError("it is the output of a command, or its quotes do not close")
    return os.path.expanduser(value) if value.startswith("~") else value  # noqa: PTH111 - a text, no path yet


def _known(found: re.Match[str], known: Mapping[str, str]) -> str:
    name = found[1] or found[2]
    if name in known:
        return known[name]
    if name in {"HOME", "USER"} and name in os.environ:
        return os.environ[name]
    raise ValueError(f"it needs ${name}, which the file does not set")


def _name(text: str, file: Path) -> str:
    name = re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-.")
    if not name:
        raise Misconfigured(f"{file}: TELESCOPE_NAME is no name")
    return name


def _telescope(name: str, found: Mapping[str, str], secrets: Path, moved: Moved) -> str:
    preset = f"speculoos-{name}"
    if preset not in preset_names(secrets.parent):
        moved.notes.append(f"{name}: there is no preset {preset!r}; the generic one stands in, see: nightferry init")
        preset = "generic"
    lines = [f"[telescope.{name}]", f'preset = "{preset}"', *_source(name, found, secrets, moved)]
    lines += [f'archives = ["eso-{name}"]', "# The observing programme of its frames; a run's own comes before it."]
    lines += ['# program = "60.A-0000(A)"', ""]
    place = found.get("ESO_DIR", "")
    if not place.startswith("/"):
        moved.notes.append(f"{name}: ESO_DIR is no absolute folder; set archive.eso-{name}.url")
        place = "/CHANGE-ME"
    url = f'url = "file://{quote(place.rstrip("/"))}"'
    lines += [f"[archive.eso-{name}]", url, 'kind = "handover"   # ESO takes the files away', ""]
    return "\n".join(lines)


def _source(name: str, found: Mapping[str, str], secrets: Path, moved: Moved) -> list[str]:
    """Name the control PC's share, or the folder where the scripts mounted it."""
    host, written = found.get("CONTROL_PC_IP", ""), found.get("CONTROL_PC_PATH", "").replace("\\", "/")
    path = "/".join(part for part in written.split("/") if part)  # mount takes two slashes for one
    mount = found.get("ACP_LOCAL_PATH", "")
    share = f"smb://{host}/{quote(path)}"
    if host and path and _is_known(share):
        lines = [f'source = "{share}"', f'user = "{_toml(found.get("CONTROL_PC_USER", ""))}"']
        return [*lines, *_secret(found, "CONTROL_PC_PASSWORD", secrets / f"{name}-control-pc.secret", moved)]
    if mount.startswith("/"):
        moved.notes.append(
            f"{name}: frames are read where the scripts mounted the control PC, {mount}; mount it at boot"
        )
        return [f'source = "file://{quote(mount.rstrip("/"))}"']
    moved.notes.append(
        f"{name}: neither CONTROL_PC_IP and CONTROL_PC_PATH nor ACP_LOCAL_PATH; set telescope.{name}.source"
    )
    return ['source = "file:///CHANGE-ME"']


def _is_known(url: str) -> bool:
    """Whether this version speaks a URL's protocol."""
    try:
        TelescopeConfig.model_validate({"source": url, "archives": ["a"]})
    except ValidationError:
        return False
    return True


def _secret(found: Mapping[str, str], variable: str, file: Path, moved: Moved) -> list[str]:
    if not found.get(variable):
        moved.notes.append(f"{variable} is not set; write the password into {file} (mode 0600)")
        return [f'# secret = "file:{file.as_posix()}"']
    moved.secrets[file] = found[variable]
    return [f'secret = "file:{_toml(file.as_posix())}"']


def _books(telescopes: Sequence[tuple[str, Mapping[str, str]]], secrets: Path, moved: Moved) -> str:
    folders = list(dict.fromkeys(found["LOG_DIR"] for _, found in telescopes if found.get("LOG_DIR")))
    if not folders:
        return ""
    if len(folders) > 1:
        moved.notes.append(f"one folder holds the books of all telescopes: {folders[0]}/nightferry")
    lines = [
        "[books]",
        "# Beside the scripts' own logs, which are not touched.",
        f'path = "{_toml(folders[0])}/nightferry"',
    ]
    hosts = [
        found for _, found in telescopes if found.get("CAMBRIDGE_SERVER_HOST") and found.get("CAMBRIDGE_SERVER_PATH")
    ]
    if not hosts:
        return "\n".join([*lines, ""])
    first = hosts[0]
    path = first["CAMBRIDGE_SERVER_PATH"].removesuffix("/.").rstrip("/")
    if len({found["CAMBRIDGE_SERVER_PATH"] for found in hosts}) > 1:
        moved.notes.append(f"one folder takes the copies of all books, each telescope in a folder of its own: {path}")
    lines += ['copies = ["logs"]', "", "[archive.logs]"]
    lines += [f'url = "sftp://{first["CAMBRIDGE_SERVER_HOST"]}{quote(path)}"']
    lines += [f'user = "{_toml(first.get("CAMBRIDGE_SERVER_USER", ""))}"']
    lines += _secret(first, "CAMBRIDGE_SERVER_PASSWORD", secrets / "logs.secret", moved)
    moved.notes.append(
        f"the key of {first['CAMBRIDGE_SERVER_HOST']} must be known before books are copied there: log in once with "
        "ssh; better still, replace the password by a key of its own"
    )
    return "\n".join([*lines, ""])


def _alerts(found: Mapping[str, str], secrets: Path, moved: Moved) -> str:
    if not (found.get("SMTP_SERVER") and found.get("EMAIL_TO")):
        moved.notes.append(
            "SMTP_SERVER and EMAIL_TO are not set (they stood in .env: name it with --from too); nobody is told"
        )
        return ""
    file = secrets / "alerts.secret"
    login = ""
    if found.get("SMTP_LOGIN"):
        login = f"{quote(found['SMTP_LOGIN'], safe='')}:{quote(found.get('SMTP_PASSWORD', ''), safe='')}@"
    receivers = "/".join(quote(one.strip()) for one in found["EMAIL_TO"].split(",") if one.strip())
    options = {"from": found.get("EMAIL_FROM") or found["EMAIL_TO"].split(",")[0].strip(), "mode": "starttls"}
    if found.get("EMAIL_CC"):
        options["cc"] = found["EMAIL_CC"].replace(" ", "")
    moved.secrets[file] = f"mailto://{login}{found['SMTP_SERVER']}/{receivers}?{urlencode(options)}"
    return f'[alerts]\nurls = ["file:{_toml(file.as_posix())}"]\n'


def _toml(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def write_secret(path: Path, value: str) -> None:
    """Write a new file that its owner alone can read; raises `Misconfigured` when one is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{value}\n")
    except FileExistsError as err:
        raise Misconfigured(
            f"{path} exists already; move it away, or keep it and write the configuration by hand"
        ) from err
    except OSError as err:
        raise Misconfigured(f"{path} cannot be written: {err}") from err

"""TOML files that extend TOML files: presets, dialects and profiles, shipped and of the user's own.

A file is found by its name: in the user's folders first, then among the shipped ones. One that says ``extends``
is laid over the file that it names; one that extends its own name builds upon the next file of that name.
"""

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar, get_origin

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from nightferry.core.errors import Misconfigured

Table = dict[str, object]
Model = TypeVar("Model", bound=BaseModel)
_SECTION = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: what a message calls one, the package that ships them, and how one is laid over another.

    ``join`` takes the table of the file that is extended and the one that extends it.
    """

    noun: str
    package: str
    join: Callable[[Table, Table], Table]

    @property
    def shipped(self) -> Traversable:
        """The folder of the shipped files."""
        return resources.files(self.package)


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it was read: what it says with all that it extends, its own text, and its place for messages."""

    table: Table
    text: str
    place: str

    def checked(self, model: type[Model], **more: object) -> Model:
        """Check the table, with ``more`` keys; raise `Misconfigured` with line and nearest key of what is wrong."""
        try:
            return model.model_validate({**self.table, **more})
        except ValidationError as err:
            raise Misconfigured("\n".join(explained(self.text, self.place, err, model))) from err


def names(kind: Kind, own: Sequence[Path] = ()) -> list[str]:
    """Return the names of all files of a kind: the shipped ones, and those in the user's ``own`` folders."""
    shipped = {item.name.removesuffix(".toml") for item in kind.shipped.iterdir() if item.name.endswith(".toml")}
    theirs = {item.stem for folder in own if folder.is_dir() for item in folder.glob("*.toml")}
    return sorted(shipped | theirs)


def files(kind: Kind, name: str, own: Sequence[Path] = ()) -> list[Traversable]:
    """Return the files of a name, the one that counts first; raise `Misconfigured` for a name that nobody knows."""
    places = [*(folder / f"{name}.toml" for folder in own), kind.shipped / f"{name}.toml"]
    found = [place for place in places if place.is_file()]
    if not found:
        known = names(kind, own)
        raise Misconfigured(f"unknown {kind.noun} {name!r}{_nearest(name, known)}; we know {', '.join(known)}")
    return found


def find(kind: Kind, name: str, own: Sequence[Path] = ()) -> Found:
    """Read the file of a name with all that it extends; raise `Misconfigured` saying what is wrong where."""
    file, *below = files(kind, name, own)
    text, table = _read(kind, name, file)
    return Found(_extended(kind, table, own, [(name, file)], below), text, _place(kind, name, file))


def _place(kind: Kind, name: str, file: Traversable) -> str:
    return f"{kind.noun} {name} ({file})"


def _read(kind: Kind, name: str, file: Traversable) -> tuple[str, Table]:
    try:
        text = file.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise Misconfigured(f"{_place(kind, name, file)}: not TOML: {err}") from err
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(f"{_place(kind, name, file)} cannot be read: {err}") from err


def _extended(
    kind: Kind, table: Table, own: Sequence[Path], seen: list[tuple[str, Traversable]], below: list[Traversable]
) -> Table:
    """Lay the table of the last file ``seen`` over what it extends; ``below`` are the next files of its name."""
    base = table.get("extends")
    if base is None:
        return table
    place = _place(kind, *seen[-1])
    if not isinstance(base, str):
        raise Misconfigured(f"{place}: extends = {base!r}: expected the name of a {kind.noun}")
    found = below if base == seen[-1][0] else files(kind, base, own)
    if not found or (base, found[0]) in seen:
        raise Misconfigured(f"{place}: extends = {base!r} leads in a circle; extend a {kind.noun} of another name")
    file, *rest = found
    _, other = _read(kind, base, file)
    return kind.join(_extended(kind, other, own, [*seen, (base, file)], rest), table)


def explained(text: str, place: str, err: ValidationError, model: type[BaseModel]) -> list[str]:
    """Turn pydantic's findings into sentences with the line and the nearest right key."""
    lines = []
    for finding in err.errors(include_url=False, include_input=False):
        path = [str(part) for part in finding["loc"]]
        where = f"{place}:{_line_of(text, path)}" if path else place
        name = ".".join(path)
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            keys = finding.get("ctx", {}).get("keys") or _keys_at(model, path[:-1])
            message = f"unknown key{_nearest(path[-1], keys)}; expected {', '.join(keys)}"
        elif finding["type"] == "missing":
            message = "this key is missing"
        lines.append(f"{where}: {name}: {message}" if name else f"{where}: {message}")
    return lines


def _nearest(word: str, choices: list[str]) -> str:
    found = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys that a section may hold."""
    here: object = model
    named = False
    for part in path:
        if named:  # the name of an entry in a mapping, or its place in a list
            named = False
        elif isinstance(here, type) and issubclass(here, BaseModel):
            fields = {key: field for name, field in here.model_fields.items() for key in _keys_of(name, field)}
            field = fields.get(part)
            annotation = field.annotation if field else None
            named = get_origin(annotation) in {dict, list}
            here = _model_in(annotation)
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return []
    return [_keys_of(name, field)[0] for name, field in here.model_fields.items()]


def _keys_of(name: str, field: FieldInfo) -> list[str]:
    """Return what a field is called in a file; an old name follows the present one."""
    alias = field.validation_alias or name
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [str(alias)]


def _model_in(annotation: object) -> object:
    """Return the model inside ``dict[Name, Model]``, ``list[Model]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := _model_in(inner)) is not None:
            return found
    return None


def _line_of(text: str, path: list[str]) -> int:
    """Return the line of a key, or of the nearest section above it that stands in the text."""
    sections: dict[str, int] = {}
    keys: dict[str, int] = {}
    entries: Counter[str] = Counter()
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _SECTION.match(line):
            section = found[1].replace('"', "").replace(" ", "")
            if line.lstrip().startswith("[["):  # an entry of a list: told apart by its number
                entries[section] += 1
                section = f"{section}.{entries[section] - 1}"
            sections[section] = number
        elif "=" in line and not line.lstrip().startswith("#"):
            key = line.partition("=")[0].strip().strip('"')
            keys.setdefault(f"{section}.{key}" if section else key, number)
    for length in range(len(path), 0, -1):
        name = ".".join(path[:length])
        if name in keys:
            return keys[name]
        if name in sections:
            return sections[name]
    return 1

"""``presets``, ``discover``: the telescopes that are known, and those in reach."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.options import JsonOption, quantity
from nightferry.cli.show import Cell, Json, say, say_json, table
from nightferry.core.errors import Misconfigured

if TYPE_CHECKING:
    from nightferry.config.preset import Preset

#: By the night rule's name.
_NIGHTS = {
    "folder": "the date in a folder's name",
    "name": "the date in the file's own name",
    "header": "DATE-OBS in the file's header",
    "local-noon": "the file's time of change, from noon to noon at the site",
    "local-12h": "the file's time of change less 12 h, in this machine's time zone",
    "utc-12h": "the file's time of change less 12 h, in UTC",
}


def presets(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The one to explain; all are listed when none is given.")] = None,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the preset's file, to start one's own from.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the telescopes we know, or explain one."""
    if name is None:
        if as_toml:
            raise Misconfigured("--toml prints one preset's file: name the preset")
        _list(api.presets(context.obj), as_json=as_json)
        return
    found = api.preset(name, context.obj)
    assert found.preset is not None  # noqa: S101 - one that is no good was refused
    if as_toml:
        sys.stdout.write(found.toml)
    elif as_json:
        say_json(_preset_json(found, found.preset) | {"examples": _examples(found), "toml": found.toml})
    else:
        _explain(found, found.preset)


def _list(known: "Sequence[api.KnownPreset]", *, as_json: bool) -> None:
    rows: list[Sequence[Cell]] = []
    for one in known:
        if one.preset is None:
            if as_json:
                say_json({"preset": one.name, "trouble": str(one.trouble)})
            rows.append([one.name, (str(one.trouble), "red"), "", ""])
            continue
        if as_json:
            say_json(_preset_json(one, one.preset))
        rows.append([one.name, one.preset.title, one.preset.source or "", one.origin])
    if not as_json:
        table(("preset", "for", "source", "from"), rows)
        say("one of them whole: nightferry presets NAME; those in reach: nightferry discover", "dim")


def _preset_json(known: "api.KnownPreset", preset: "Preset") -> dict[str, Json]:
    return {
        "preset": known.name,
        "title": preset.title,
        "from": known.origin,
        "overrides": list(known.overrides),
        "extends": preset.extends,
        "source": preset.source,
        "settle": preset.settle,
        "night": str(preset.night),
        "take": preset.take,
        "name": preset.name,
    }


def _examples(known: "api.KnownPreset") -> list[Json]:
    return [
        {"path": one.path, "night": one.night.isoformat(), "name": one.name, "ignored": one.ignored}
        for one in known.examples
    ]


def _explain(known: "api.KnownPreset", preset: "Preset") -> None:
    name = known.name
    say(f"{name}: {preset.title}", "bold")
    instead = f", in place of {', '.join(known.overrides)}" if known.overrides else ""
    rows: list[tuple[str, str]] = [("from", f"{known.origin}{instead}")]
    rows += [("extends", preset.extends)] if preset.extends else []
    rows += [
        ("source", preset.source or "none: the configuration must name it"),
        ("night", f"{preset.night}: {_NIGHTS[str(preset.night)]}"),
        ("settle", f"{preset.settle:g} s"),
        ("take", ", ".join(preset.take)),
        ("name", preset.name),
    ]
    rows += [("also at", url) for url in preset.discover.urls]
    rows += [("session", _one_line(preset.layout.session))] if preset.layout.session else []
    rows += (
        [("stamp", f"{_one_line(preset.layout.stamp)}  ({preset.layout.clock} time)")] if preset.layout.stamp else []
    )
    rows += [("rule", f"{_one_line(rule.match)}  (stem: {', '.join(rule.stem)})") for rule in preset.layout.rule]
    rows += [("ignored", f"{_one_line(rule.match)}  ({rule.why})") for rule in preset.layout.ignore]
    for key, value in rows:
        say(f"  {key:<8} {value}")
    for found in known.examples:
        say("")
        say(f"  {found.path}", "dim")
        say(f"    ignored: {found.ignored}" if found.ignored else f"    {found.night}  {found.name}")
    say("")
    say("In a configuration:")
    for line in starter(name, preset).splitlines():
        say(f"  {line}")
    say(f"Its file, to start one of your own from: nightferry presets {name} --toml", "dim")


def _one_line(pattern: re.Pattern[str]) -> str:
    """Return a pattern on one line, without the blanks and remarks of a verbose one."""
    if not pattern.flags & re.VERBOSE:
        return pattern.pattern
    lines = (line.partition(" # ")[0] for line in pattern.pattern.removeprefix("(?x)").splitlines())
    return "".join("".join(line.split()) for line in lines)


def starter(name: str, preset: "Preset") -> str:
    """Return the section of a telescope of that preset, with what may be changed as comments."""
    source = f'source = "{preset.source}"' if preset.source else 'source = "file:///path"  # or another URL'
    user = f'# user = "{preset.user}"\n# secret = "env:NAME"    # where the password is\n' if preset.user else ""
    take = ", ".join(f'"{kind}"' for kind in preset.take)
    return (
        f'[telescope.{name}]\npreset = "{name}"\n{"# " if preset.source else ""}{source}\n{user}'
        f'archives = ["library"]\n# settle = "{preset.settle:g} s"\n# night = "{preset.night}"\n# take = [{take}]\n'
    )


def discover(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Presets to look for; all when none is given.")] = None,
    hosts: Annotated[str | None, typer.Option("--range", help="Try every host of it too, e.g. 192.168.1.0/24.")] = None,
    folder: Annotated[list[Path] | None, typer.Option(help="Look here too, as on a mounted disk.")] = None,
    timeout: Annotated[str, typer.Option(help="How long a host may take to answer.")] = "1.5 s",
    as_json: JsonOption = False,
) -> None:
    """Look for telescopes at the addresses and on the disks where presets know them to be."""
    from nightferry.config.units import seconds

    patience = quantity(seconds, timeout, "--timeout")
    found = api.discover(names or (), hosts=hosts or "", folders=folder or (), timeout=patience, place=context.obj)
    if as_json:
        for one in found:
            say_json(_found_json(one))
        return
    if not found:
        say("no telescope that a preset knows is in reach; is it switched on, and this machine in its network?")
        say("look at every host of a network with: nightferry discover --range 192.168.1.0/24", "dim")
        return
    table(("preset", "source", "found"), [[one.preset, one.url, _found_text(one)] for one in found])
    option = f" --config {shlex.quote(str(context.obj))}" if context.obj else ""
    for one in found:
        say(f"set it up with: nightferry{option} init --preset {one.preset} --source {shlex.quote(one.url)}")


def _found_text(one: "api.Found") -> str:
    if one.trouble:
        return f"it answers, but: {one.trouble}"
    also = f"; {' and '.join(one.also)} would fit as well" if one.also else ""
    return f"{one.files:,} files in a short look, {one.fitting:,} of them as this preset knows them{also}"


def _found_json(one: "api.Found") -> dict[str, Json]:
    return {
        "preset": one.preset,
        "source": one.url,
        "files": one.files,
        "fitting": one.fitting,
        "also": list(one.also),
        "trouble": one.trouble,
    }

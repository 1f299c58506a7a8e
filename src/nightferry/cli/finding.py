"""The commands that tell which telescopes we know, and which are in reach."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from nightferry.cli.show import Cell, Json, say, say_json, table
from nightferry.config import config_path, load_preset, preset_names
from nightferry.config.preset import Preset, preset_files
from nightferry.config.units import seconds
from nightferry.core.errors import Misconfigured
from nightferry.core.night import NightRule
from nightferry.discover import Found, discover

_NIGHTS = {
    NightRule.FOLDER: "the date in a folder's name",
    NightRule.NAME: "the date in the file's own name",
    NightRule.HEADER: "DATE-OBS in the file's header",
    NightRule.LOCAL_NOON: "the file's time of change, from noon to noon at the site",
    NightRule.LOCAL_12H: "the file's time of change less 12 h, in this machine's time zone",
    NightRule.UTC_12H: "the file's time of change less 12 h, in UTC",
}


def beside(place: Path | None) -> Path:
    """Tell the folder of the configuration in use."""
    return (place or config_path()).expanduser().absolute().parent


def presets_command(place: Path | None, name: str | None, *, as_toml: bool, as_json: bool) -> None:
    """List the presets, or explain one."""
    folder = beside(place)
    if name is None:
        if as_toml:
            raise Misconfigured("--toml prints one preset's file: name the preset")
        _list(folder, as_json=as_json)
        return
    preset, files = load_preset(name, folder), preset_files(name, folder)
    text = files[0].read_text(encoding="utf-8")
    if as_toml:
        sys.stdout.write(text)
    elif as_json:
        say_json(_preset_json(name, preset, folder) | {"examples": _examples(name, preset), "toml": text})
    else:
        _explain(name, preset, folder)


def _list(folder: Path, *, as_json: bool) -> None:
    rows: list[Sequence[Cell]] = []
    for name in preset_names(folder):
        try:
            preset = load_preset(name, folder)
        except Misconfigured as err:  # one bad file hides no other preset
            say_json({"preset": name, "trouble": str(err)}) if as_json else rows.append(
                [name, (str(err), "red"), "", ""]
            )
            continue
        if as_json:
            say_json(_preset_json(name, preset, folder))
        rows.append([name, preset.title, preset.source or "", _origin(name, folder)[0]])
    if not as_json:
        table(("preset", "for", "source", "from"), rows)
        say("one of them whole: nightferry presets NAME; those in reach: nightferry discover", "dim")


def _origin(name: str, folder: Path) -> tuple[str, list[str]]:
    """Tell where a preset comes from, and the files that it takes the place of."""
    first, *others = [_place(file, folder) for file in map(str, preset_files(name, folder))]
    return first, others


def _place(file: str, folder: Path) -> str:
    own = {str(item) for item in (folder / "presets", config_path().absolute().parent / "presets")}
    return file if str(Path(file).parent) in own else "shipped"


def _preset_json(name: str, preset: Preset, folder: Path) -> dict[str, Json]:
    first, others = _origin(name, folder)
    return {
        "preset": name,
        "title": preset.title,
        "from": first,
        "overrides": others,
        "extends": preset.extends,
        "source": preset.source,
        "settle": preset.settle,
        "night": str(preset.night),
        "take": preset.take,
        "name": preset.name,
    }


def _examples(name: str, preset: Preset) -> list[dict[str, Json]]:
    """Tell of each example what really becomes of it."""
    told = [(example.path, preset.foretell(example.path, name)) for example in preset.example]
    return [
        {"path": path, "night": found.night.isoformat(), "name": found.name, "ignored": found.ignored}
        for path, found in told
    ]


def _explain(name: str, preset: Preset, folder: Path) -> None:
    first, others = _origin(name, folder)
    say(f"{name}: {preset.title}", "bold")
    instead = f", in place of {', '.join(others)}" if others else ""
    rows: list[tuple[str, str]] = [("from", f"{first}{instead}")]
    rows += [("extends", preset.extends)] if preset.extends else []
    rows += [
        ("source", preset.source or "none: the configuration must name it"),
        ("night", f"{preset.night}: {_NIGHTS[preset.night]}"),
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
    for example in preset.example:
        found = preset.foretell(example.path, name)
        say("")
        say(f"  {example.path}", "dim")
        say(f"    ignored: {found.ignored}" if found.ignored else f"    {found.night}  {found.name}")
    say("")
    say("In a configuration:")
    for line in starter(name, preset).splitlines():
        say(f"  {line}")
    say(f"Its file, to start one of your own from: nightferry presets {name} --toml", "dim")


def _one_line(pattern: re.Pattern[str]) -> str:
    """Write a pattern on one line, without the blanks and remarks of a verbose one."""
    if not pattern.flags & re.VERBOSE:
        return pattern.pattern
    lines = (line.partition(" # ")[0] for line in pattern.pattern.removeprefix("(?x)").splitlines())
    return "".join("".join(line.split()) for line in lines)


def starter(name: str, preset: Preset) -> str:
    """Write the section of a telescope of that preset, with what may be changed as comments."""
    source = f'source = "{preset.source}"' if preset.source else 'source = "file:///path"  # or another URL'
    user = f'# user = "{preset.user}"\n# secret = "env:NAME"    # where the password is\n' if preset.user else ""
    take = ", ".join(f'"{kind}"' for kind in preset.take)
    return (
        f'[telescope.{name}]\npreset = "{name}"\n{"# " if preset.source else ""}{source}\n{user}'
        f'archives = ["library"]\n# settle = "{preset.settle:g} s"\n# night = "{preset.night}"\n# take = [{take}]\n'
    )


def discover_command(
    place: Path | None,
    names: Sequence[str],
    *,
    hosts: str,
    folders: Sequence[Path],
    timeout: str,
    as_json: bool,
) -> None:
    """Look for telescopes, and say how each that is there is set up."""
    found = search(place, names, hosts=hosts, folders=folders, timeout=timeout)
    if as_json:
        for one in found:
            say_json(_found_json(one))
        return
    if not found:
        say("no telescope that a preset knows is in reach; is it switched on, and this machine in its network?")
        say("look at every host of a network with: nightferry discover --range 192.168.1.0/24", "dim")
        return
    table(("preset", "source", "found"), [[one.preset, one.url, _told(one)] for one in found])
    option = f" --config {shlex.quote(str(place))}" if place else ""
    for one in found:
        say(f"set it up with: nightferry{option} init --preset {one.preset} --source {shlex.quote(one.url)}")


def search(
    place: Path | None, names: Sequence[str], *, hosts: str = "", folders: Sequence[Path] = (), timeout: str = "1.5 s"
) -> list[Found]:
    """Look for telescopes as the options say."""
    try:
        patience = seconds(timeout)
    except ValueError as err:
        raise Misconfigured(f"--timeout: {err}") from err
    return discover(names, hosts=hosts, folders=folders, timeout=patience, beside=beside(place))


def _told(one: Found) -> str:
    if one.trouble:
        return f"it answers, but: {one.trouble}"
    also = f"; {' and '.join(one.also)} would fit as well" if one.also else ""
    return f"{one.files:,} files in a short look, {one.fitting:,} of them as this preset knows them{also}"


def _found_json(one: Found) -> dict[str, Json]:
    return {
        "preset": one.preset,
        "source": one.url,
        "files": one.files,
        "fitting": one.fitting,
        "also": list(one.also),
        "trouble": one.trouble,
    }

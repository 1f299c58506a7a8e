"""``solve``: find out where frames look."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD
from nightferry.cli.options import DryRunOption, JsonOption, quantity, read_place
from nightferry.cli.show import Json, say, say_json

if TYPE_CHECKING:
    from nightferry.core.frame import Fact


def solve(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="FITS files.")],
    telescope: Annotated[str | None, typer.Option(help="A telescope of the configuration, or a preset.")] = None,
    engine: Annotated[str | None, typer.Option(help="astrometry, solve-field, or another; else the best here.")] = None,
    index: Annotated[list[Path] | None, typer.Option(help="A folder of index files, or one; may be repeated.")] = None,
    near: Annotated[str | None, typer.Option(help="Where to look first, RA,DEC, in the header's stead.")] = None,
    radius: Annotated[str | None, typer.Option(help="How far from there, e.g. '5 deg'.")] = None,
    scale: Annotated[str | None, typer.Option(help="Pixel scale: '2.4 arcsec' or '2 arcsec..3 arcsec'.")] = None,
    timeout: Annotated[str | None, typer.Option(help="The longest search for one file, e.g. '30 s'.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Solve files, too, whose own solution holds.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the solution into the file's header.")] = False,
    into: Annotated[Path | None, typer.Option(help="Write solved copies into this folder instead.")] = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Worker processes; 0: up to two.")] = 0,
    facts: Annotated[bool, typer.Option("--facts", help="Tell what the stars tell, too.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find out where frames look, from their stars."""
    from nightferry.config.units import degrees, seconds

    settings = api.solving_of(telescope, place=context.obj) if telescope else api.SolveSettings()
    settings = replace(settings, indexes=(*(index or ()), *settings.indexes), again=again)
    if engine:
        settings = replace(settings, engine=engine)
    if near:
        settings = replace(settings, near=read_place(near, "--near"))
    if radius:
        settings = replace(settings, radius=quantity(degrees, radius))
    if timeout:
        settings = replace(settings, seconds=max(1.0, quantity(seconds, timeout)))
    if scale:
        settings = replace(settings, scales=quantity(_scales, scale))
    codes = []
    for one in api.solve(files, settings, write=write, into=into, workers=workers, dry_run=dry_run):
        codes.append(DONE if one.ok else FAILED if one.answer.world else HELD)
        if as_json:
            say_json(_as_json(one, facts=facts))
        else:
            _show(one, into, facts=facts)
    raise typer.Exit(next((code for code in (HELD, FAILED) if code in codes), DONE))


def _scales(text: str) -> tuple[float, float]:
    """Parse ``2.4 arcsec`` or ``2 arcsec..3 arcsec``, with 5 % to each side."""
    from nightferry.config.units import arcseconds

    low, _, high = text.partition("..")
    one = arcseconds(low.strip() if "arc" in low else f"{low.strip()} arcsec")
    other = arcseconds(high.strip()) if high else one
    return min(one, other) * 0.95, max(one, other) * 1.05


def _show(one: "api.Solved", into: Path | None, *, facts: bool) -> None:
    file, answer = one.file, one.answer
    if answer.solution is None:
        say(f"{file}: not solved: {one.reason}", "yellow" if answer.world else "red")
    else:
        say(f"{file}: {_found(answer.facts)}{_where(one, into)}", "green")
        if one.reason:
            say(f"    {one.reason}", "red")
    if facts:
        for key, value in answer.facts.items():
            say(f"    {key} = {value}")


def _where(one: "api.Solved", into: Path | None) -> str:
    """Return where the solution was written."""
    words = {
        "kept": "; its own header stands",
        "copy": f" -> {into / one.file.name if into else ''}",
        "in place": "; written",
        "anew": "; written anew, for its header had no room",
    }
    return words.get(one.written, "")


def _found(facts: "Mapping[str, Fact]") -> str:
    ra, dec, scale, turn, rms = (
        float(facts.get(key) or 0.0) for key in ("ra", "dec", "pixel_scale", "rotation", "rms_arcsec")
    )
    how = "its solution holds" if facts.get("checked") else "solved"
    return (
        f"{how}: {ra:.5f} {dec:+.5f} deg, {scale:.4f} arcsec/pixel, rotation {turn:.2f} deg, "
        f"{facts.get('matched')} stars within {rms:.2f} arcsec"
    )


def _as_json(one: "api.Solved", *, facts: bool) -> dict[str, Json]:
    answer = one.answer
    known = dict(answer.facts)
    keys = ("ra", "dec", "pixel_scale", "rotation", "rms_arcsec", "matched")
    solved = answer.solution is not None
    found: dict[str, Json] = {"file": str(one.file), "solved": solved}
    found |= {key: known.get(key) if solved else None for key in keys}
    found |= {"seconds": round(answer.seconds, 4), "reason": one.reason}
    return {**found, "facts": known} if facts else found

"""What the stars of frames say, as `solve` left it in the ledger: in words for a frame, in medians for a night."""

from collections.abc import Mapping, Sequence
from statistics import median

from nightferry.core.frame import Fact

#: What is said of a frame: the fact, and how it is put.
_WORDS = (
    ("why", "not solved: {}"),
    ("ra", "middle of the frame at right ascension {:.5f} deg"),
    ("dec", "and declination {:+.5f} deg"),
    ("pixel_scale", "{:.4f} arcsec per pixel"),
    ("rotation", "turned by {:.2f} deg from north over east"),
    ("mirrored", "mirrored: {}"),
    ("pointing_offset", "{:.4f} deg from where its header says"),
    ("altitude", "{:.1f} deg above the horizon"),
    ("clock", "{}"),
    ("stars", "{:,} stars found"),
    ("matched", "{:,} of them in the catalogue"),
    ("expected", "which has {:,} in the frame"),
    ("rms_arcsec", "they scatter by {:.2f} arcsec"),
    ("chance", "and would match by luck with a chance of {:.0e}"),
    ("fwhm", "stars are {:.2f} pixels wide (FWHM)"),
    ("fwhm_spread", "give or take {:.2f}"),
    ("ellipticity", "ellipticity {:.2f}"),
    ("trailed", "trailed: {} trails"),
    ("background", "sky of {:,.1f} counts"),
    ("noise", "with a noise of {:.1f}"),
    ("saturated", "{:.2%} of the pixels are full"),
    ("distortion", "distortion: {}"),
    ("engine", "found by {}"),
    ("index", "in {}"),
)
#: Facts that begin a line of their own; the others follow on it.
_FIRST = {
    "why",
    "ra",
    "pixel_scale",
    "pointing_offset",
    "clock",
    "stars",
    "fwhm",
    "trailed",
    "background",
    "distortion",
}


def solve_text(proof: Mapping[str, Fact]) -> str:
    """Return in a few words what became of a frame."""
    if not proof.get("solved"):
        return f"not solved: {proof.get('why', '')}"
    how = "its own solution holds" if proof.get("checked") else "solved"
    return f"{how}: {proof.get('matched')} stars within {proof.get('rms_arcsec')} arcsec"


def seen_lines(facts: Mapping[str, Fact]) -> list[str]:
    """Return the facts of a frame in words, those that belong together on one line."""
    lines: list[str] = []
    for key, words in _WORDS:
        value = facts.get(key)
        if value is None or value is False or value == "":
            continue
        text = words.format("yes" if value is True else value)
        if key in _FIRST or not lines:
            lines.append(text)
        else:
            lines[-1] = f"{lines[-1]}, {text}"
    return lines


def night_lines(frames: Sequence[Mapping[str, Fact]]) -> list[str]:
    """Return what the stars of a night's frames say together; nothing for nights without solving."""
    seen = [facts for facts in frames if "stars" in facts]
    if not seen:
        return []
    solved = sum(bool(facts.get("solved")) for facts in seen)
    told = [f"{solved} of {len(seen)} frames of the sky solved"]
    for key, words in (
        ("stars", "{:,.0f} stars"), ("fwhm", "FWHM {:.2f} pixels"), ("ellipticity", "ellipticity {:.2f}"),
        ("background", "sky {:,.0f} counts"), ("pointing_offset", "{:.3f} deg from where headers say"),
    ):  # fmt: skip
        values = [float(value) for facts in seen if isinstance(value := facts.get(key), int | float)]
        if values:
            told.append(words.format(median(values)))
    if drifts := _drifts(seen):
        told.append(f"rotation drifts by up to {max(drifts):.2f} deg")
    lines = [f"what its stars tell (medians): {', '.join(told)}"]
    clocks = sum("clock" in facts for facts in seen)
    return (
        [*lines, f"{clocks} frames below the horizon at DATE-OBS: the clock or the site is wrong"] if clocks else lines
    )


def _drifts(frames: Sequence[Mapping[str, Fact]]) -> list[float]:
    """Return for each field by how many degrees its frames are turned against each other; half a turn is a flip."""
    fields: dict[tuple[int, int], list[float]] = {}
    for facts in frames:
        ra, dec, turn = (facts.get(key) for key in ("ra", "dec", "rotation"))
        if isinstance(ra, int | float) and isinstance(dec, int | float) and isinstance(turn, int | float):
            fields.setdefault((round(ra), round(dec)), []).append(float(turn))
    return [_span([2 * turn for turn in turns]) / 2 for turns in fields.values()]


def _span(turns: Sequence[float]) -> float:
    """Return the smallest arc that holds all angles, in degrees."""
    ordered = sorted(turn % 360.0 for turn in turns)
    gaps = [after - before for before, after in zip(ordered, [*ordered[1:], ordered[0] + 360.0], strict=True)]
    return 360.0 - max(gaps)

"""What the stars tell, in words: nothing is claimed that no fact says."""

from nightferry.cli.stars import night_lines, seen_lines, solve_text
from nightferry.core.frame import Fact


def facts(turn: float, ra: float = 10.0) -> dict[str, Fact]:
    return {"solved": True, "ra": ra, "dec": 41.0, "rotation": turn, "stars": 90, "fwhm": 3.0, "checked": False}


def test_a_frame_that_was_not_solved_says_why_and_no_place() -> None:
    told: dict[str, Fact] = {"solved": False, "why": "only 3 stars found", "stars": 3, "background": 900.0}
    assert seen_lines(told) == ["not solved: only 3 stars found", "3 stars found", "sky of 900.0 counts"]
    assert solve_text(told) == "not solved: only 3 stars found"
    assert seen_lines({"stars": 1200, "matched": 900})[0] == "1,200 stars found, 900 of them in the catalogue"


def test_a_night_without_solving_tells_nothing() -> None:
    assert night_lines([{}, {"solved": False, "why": "a dark frame shows no sky"}]) == []


def test_a_meridian_flip_and_another_field_are_no_drift() -> None:
    (told,) = night_lines([facts(10.0), facts(190.5), facts(359.8, 80.0), facts(0.1, 80.0)])
    assert "4 of 4 frames of the sky solved, 90 stars, FWHM 3.00 pixels" in told
    assert told.endswith("rotation drifts by up to 0.50 deg")


def test_a_wrong_clock_stands_in_a_line_of_its_own() -> None:
    _, told = night_lines([facts(10.0), {**facts(10.0), "clock": "the field was below the horizon"}])
    assert told.startswith("1 frames below the horizon")

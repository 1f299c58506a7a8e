"""Files that extend files: one way to find, join and check them for presets, dialects and profiles alike."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nightferry.config import load_preset
from nightferry.core.errors import Misconfigured
from nightferry.headers.dialects import load_dialect
from nightferry.headers.profiles import load_profile

Load = Callable[[str, Path], object]
#: For each kind: the folder of the user's own files, and the function that reads one.
KINDS: dict[str, tuple[str, Load]] = {
    "preset": ("presets", load_preset),
    "dialect": ("dialects", lambda name, place: load_dialect(name, place / "dialects")),
    "profile": ("profiles", lambda name, place: load_profile(name, place / "profiles")),
}


def refused(place: Path, kind: str, **texts: str) -> str:
    """Return what is said of the file "a" among these."""
    folder, load = KINDS[kind]
    (place / folder).mkdir(exist_ok=True)
    for name, text in texts.items():
        (place / folder / f"{name}.toml").write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured) as caught:
        load("a", place)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTFERRY_CONFIG", str(tmp_path / "usual" / "config.toml"))


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_is_answered_with_the_nearest_one(tmp_path: Path, kind: str) -> None:
    known = {"preset": "vespera", "dialect": "maxim", "profile": "library"}[kind]
    said = refused(tmp_path, kind, a=f'title = "a"\nextends = "{known}x"\n')
    assert said.startswith(f"unknown {kind} '{known}x'; did you mean '{known}'?; we know ")


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_extend_each_other_are_refused(tmp_path: Path, kind: str) -> None:
    said = refused(tmp_path, kind, a='title = "a"\nextends = "b"\n', b='title = "b"\nextends = "a"\n')
    assert said.startswith(f"{kind} b (")
    assert said.endswith(f"extends = 'a' leads in a circle; extend a {kind} of another name")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_extends_nothing_but_itself_is_refused(tmp_path: Path, kind: str) -> None:
    assert "leads in a circle" in refused(tmp_path, kind, a='title = "a"\nextends = "a"\n')


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, kind: str) -> None:
    assert f"extends = 3: expected the name of a {kind}" in refused(tmp_path, kind, a='title = "a"\nextends = 3\n')


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_key_is_told_with_its_line_and_the_nearest_one(tmp_path: Path, kind: str) -> None:
    known = {"preset": "vespera", "dialect": "maxim", "profile": "library"}[kind]
    said = refused(tmp_path, kind, a=f'title = "a"\nextends = "{known}"\nnmae = "x"\n')
    assert "a.toml):3: nmae: unknown key; did you mean 'name'?; expected title, extends" in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_utf8_is_told_with_its_place(tmp_path: Path, kind: str) -> None:
    folder, load = KINDS[kind]
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "a.toml").write_bytes(b'title = "\xff"\n')
    with pytest.raises(Misconfigured, match=rf"{kind} a \(.*a\.toml\) cannot be read"):
        load("a", tmp_path)

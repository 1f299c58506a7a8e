import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightferry.core.names import archive_name, name_refusal, path_refusal, safe_component, windows_refusal

ANYTHING = st.text(st.characters(codec=None), max_size=300)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("../x.fits", "is no name"),
        ("a/../../x.fits", "is no name"),
        ("/etc/passwd", "absolute"),
        ("a//b", "is no name"),
        ("a/./b", "is no name"),
        ("", "is no name"),
        ("a\\..\\b", "a backslash"),
        ("C:x.fits", "drive letter"),
        ("a\r\nDELE b", "a CR"),
        ("a\nb", "a LF"),
        ("a\0b", "a NUL"),
        ("x" * 300, "300 bytes long"),
        ("/".join(["d" * 200] * 30), "bytes long"),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(path: str, words: str) -> None:
    assert words in path_refusal(path)


@pytest.mark.parametrize(
    "name",
    ["img-0001.fits", " two  blanks .fits", 'it\'s "quoted".fits', "100%#1.fits", "caf\udce9.fits", "a -> b.fits"],
)
def test_odd_but_harmless_names_are_let_through(name: str) -> None:
    assert name_refusal(name) == ""


@pytest.mark.parametrize("name", ["CON", "nul.fits", "COM1.txt", "a:b", "trailing.", "trailing ", "a?b"])
def test_names_that_windows_would_not_hold_are_told(name: str) -> None:
    assert windows_refusal(name)
    assert windows_refusal(safe_component(name)) == ""


@given(ANYTHING)
def test_every_text_becomes_a_name_that_all_systems_hold(text: str) -> None:
    name = safe_component(text)
    assert name_refusal(name) == ""
    assert windows_refusal(name) == ""
    assert len(name.encode()) <= 255
    assert safe_component(text) == name


@given(st.lists(ANYTHING, unique=True, max_size=8))
def test_different_texts_never_become_one_name(texts: list[str]) -> None:
    assert len({safe_component(text) for text in texts}) == len(texts)


def test_a_template_is_filled_and_stays_below_its_root() -> None:
    fields = {"object": "C/2025 R3", "date": "2026-09-12", "stem": "01-40-22_img-0001", "suffix": ".fits"}
    template = "{object}/{object}_{date}_{stem}{suffix}"
    assert archive_name(template, fields) == "C-2025 R3/C-2025 R3_2026-09-12_01-40-22_img-0001.fits"
    assert archive_name("{object}/{stem}{missing}", fields) == "C-2025 R3/01-40-22_img-0001"


@given(ANYTHING, ANYTHING)
def test_hostile_values_cannot_leave_the_archive(object_: str, stem: str) -> None:
    name = archive_name("{object}/{object}_{stem}.fits", {"object": object_, "stem": stem})
    assert path_refusal(name) == ""
    assert name.count("/") <= 1

import os
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nightferry.core.errors import Held
from nightferry.core.names import LONGEST_NAME, name_refusal, safe_component, windows_refusal
from nightferry.core.store import StorePath
from nightferry.stores.paths import LONGEST_PATH, checked, is_part, part_name, part_writer, path_refusal
from nightferry.testing.conformance import AWKWARD_NAMES

#: Any text at all, what does harm more often than chance would have it, and bytes that are no UTF-8.
HARMFUL = [
    "/",
    "\\",
    "..",
    ".",
    " ",
    ":",
    "\0",
    "\r",
    "\n",
    "NUL",
    "com1",
    "C:",
    "~",
    "~0123456789",
    "\udcff",
    "\ud800",
]
HARMFUL += [".fits", "é", "e\u0301", "\u202e", "🔭", "n" * 260, ".nightferry-0123abcd-1-0123456789abcdef.part", "_"]
texts = st.one_of(
    st.text(st.characters(codec=None), max_size=30),
    st.lists(st.sampled_from(HARMFUL), max_size=6).map("".join),
    st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "is no name"),
        (".", "is no name"),
        ("..", "is no name"),
        ("../a.fits", "is no name"),
        ("sub/../a.fits", "is no name"),
        ("sub/./a.fits", "is no name"),
        ("sub//a.fits", "is no name"),
        ("sub/", "is no name"),
        ("/a.fits", "is absolute"),
        ("//server/share/a.fits", "is absolute"),
        ("..\\a.fits", "a backslash"),
        ("sub\\a.fits", "a backslash"),
        ("C:a.fits", "like a drive letter"),
        ("c:/a.fits", "like a drive letter"),
        ("sub/C:a.fits", "like a drive letter"),
        ("a\0.fits", "a NUL"),
        ("a\n.fits", "a LF"),
        ("a.fits\r\nDELE b.fits", "a CR"),
        ("n" * 256, "256 bytes long, more than 255"),
        ("é" * 128, "256 bytes long, more than 255"),
        ("/".join(["n" * 99] * 41) + "xxx", "4102 bytes long, more than 4096"),
        ("half a pair \ud800.fits", "cannot be written as bytes"),
    ],
)
def test_a_path_that_could_do_harm_is_refused_with_its_reason(path: str, why: str) -> None:
    assert why in path_refusal(path)
    with pytest.raises(Held, match=re.escape(why)):
        checked(StorePath(path))


@pytest.mark.parametrize(
    "name", [*AWKWARD_NAMES, b"n" * 255, "é".encode() * 127, b"ab:c.fits", b"CON", b"a.", b".hidden"]
)
def test_an_awkward_name_is_safe_all_the_same(name: bytes) -> None:
    text = name.decode("utf-8", "surrogateescape")
    assert name_refusal(text) == ""
    assert checked(StorePath(f"folder/{text}")) == f"folder/{text}"


def test_a_long_path_of_short_names_is_safe_up_to_the_limit() -> None:
    path = "/".join(["n" * 63] * 64)
    assert len(path) == LONGEST_PATH - 1
    assert path_refusal(path) == ""
    assert path_refusal(path + "nn") != ""


WINDOWS_TRAPS = [
    "a:b",
    "a?",
    "a*",
    'a"',
    "a<b",
    "a|b",
    "a\x1b",
    "a ",
    "a.",
    "NUL",
    "nul.fits",
    "Com1.tar.gz",
    "lpt\u00b9",
]


@pytest.mark.parametrize("name", [*WINDOWS_TRAPS, "aux .x", "\udcff"])
def test_windows_refuses_more_names(name: str) -> None:
    assert windows_refusal(name) != ""


@pytest.mark.parametrize("name", ["a.fits", " a", ".a", "console.fits", "com10", "nul_", "M 31.fits", "é"])
def test_windows_takes_ordinary_names(name: str) -> None:
    assert windows_refusal(name) == ""


def test_a_refusal_shows_a_hostile_name_escaped_and_short() -> None:
    refusal = path_refusal("\x1b[31m" + "n" * 100_000 + "\n")
    assert "\x1b" not in refusal
    assert "\n" not in refusal
    assert len(refusal) < 500


def assert_every_system_can_hold(name: str) -> None:
    assert name_refusal(name) == ""
    assert windows_refusal(name) == ""
    assert len(name.encode()) <= LONGEST_NAME


@given(texts)
@example("")
@example("CON")
@example("con .fits")
@example("a" * 300 + ".fits")
@example("é" * 200 + "." + "x" * 200)
@example("." + "x" * 300)
def test_every_text_becomes_a_name_that_every_system_can_hold(text: str) -> None:
    assert_every_system_can_hold(safe_component(text))


@given(st.lists(texts, min_size=2, max_size=20, unique=True))
@example(["C/2023 A3", "C_2023 A3", "C:2023 A3"])
@example(["a", "a.", "a ", "_a"])
@example(["", "_", ".", "..", " "])
@example(["NUL", "_NUL"])
@example(["\udcff", "\udcfe", "_"])
@example(["n" * 300 + "1", "n" * 300 + "2"])
def test_different_texts_become_different_names(different: list[str]) -> None:
    assert len({safe_component(text) for text in different}) == len(different)


@given(texts)
def test_a_name_made_from_a_text_cannot_be_had_from_another_text(text: str) -> None:
    made = safe_component(text)
    assert (safe_component(made) == made) == (made == text)


@given(texts)
def test_the_same_text_always_becomes_the_same_name(text: str) -> None:
    assert safe_component(text) == safe_component(text)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("M 31.fits", r"M 31\.fits"),
        ("Androm\u00e9de.fits", "Androm\u00e9de\\.fits"),
        ("C/2023 A3.fits", r"C_2023 A3~[0-9a-f]{10}\.fits"),
        ("C/2023 A3", r"C_2023 A3~[0-9a-f]{10}"),
        ("aux.fits", r"_aux~[0-9a-f]{10}\.fits"),
        ("trailing. ", r"trailing~[0-9a-f]{10}"),
        ("..", r"_~[0-9a-f]{10}"),
        ("bad \udcff.fits", r"bad _~[0-9a-f]{10}\.fits"),
        ("n" * 300 + ".fits", r"n{239}~[0-9a-f]{10}\.fits"),
        ("é" * 200 + ".fits", r"é{119}~[0-9a-f]{10}\.fits"),
    ],
)
def test_a_name_keeps_what_it_can_and_its_suffix(text: str, shape: str) -> None:
    assert re.fullmatch(shape, safe_component(text))


def test_an_unfinished_file_tells_its_writer_and_no_other_name_does() -> None:
    name = part_name()
    assert is_part(name)
    assert part_writer(name) == os.getpid()
    assert part_name() != name
    elsewhere = re.sub("-[0-9a-f]{8}-", "-00000000-", name, count=1)
    assert is_part(elsewhere)
    assert part_writer(elsewhere) is None
    for other in ("a.part", name + "x", "x" + name, ".nightferry-.part", name.upper()):
        assert not is_part(other)
        assert part_writer(other) is None


def test_the_name_of_an_unfinished_file_is_refused_from_outside() -> None:
    assert "unfinished" in path_refusal(f"sub/{part_name()}")

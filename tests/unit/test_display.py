import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightferry.core.display import display


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("M 31/img-0001.fits", "M 31/img-0001.fits"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\r\nb\tc\x00", "a\\x0d\\x0ab\\x09c\\x00"),
        ("bad\udcffbyte", "bad\\xffbyte"),
        ("gpj\u202esnart", "gpj\\u202esnart"),
        ("Röntgen ☄", "Röntgen ☄"),
        ("[red]x[/red]", "[red]x[/red]"),
    ],
)
def test_text_from_outside_is_made_harmless(raw: str, shown: str) -> None:
    assert display(raw) == shown


@given(st.text(st.characters()))
def test_what_is_shown_can_always_be_written(raw: str) -> None:
    shown = display(raw)
    shown.encode("utf-8")
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)

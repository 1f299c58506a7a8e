"""Texts that a database cannot hold as they are."""

import os
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightferry.ledger.text import read_text, write_text

ANY_TEXT = st.text(alphabet=st.one_of(st.sampled_from("\\xu\0/ab0f"), st.characters(exclude_categories=())))


@pytest.mark.parametrize("name", ["M 81_sub/Light_M 81_10.0s.fit", "Sépia/星雲/img-0001.fits", "a'b\"c%d_e"])
def test_ordinary_name_stands_in_the_database_as_people_know_it(name: str) -> None:
    assert write_text(name) == name


def test_bytes_that_are_not_utf8_are_written_as_hexadecimal_digits() -> None:
    name = os.fsdecode(b"caf\xe9/\xff.fits") if os.name == "posix" else "caf\udce9/\udcff.fits"
    assert write_text(name) == r"caf\xe9/\xff.fits"


def test_name_that_looks_like_an_escape_is_not_taken_for_one() -> None:
    assert write_text(r"a\xff") == r"a\\xff"
    assert read_text(r"a\\xff") == r"a\xff"


@given(ANY_TEXT)
def test_every_text_comes_back_exactly_through_a_database(text: str) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        (written,) = database.execute("SELECT ?", (write_text(text),)).fetchone()
    assert read_text(written) == text


@given(ANY_TEXT)
def test_written_text_holds_nothing_that_a_database_refuses(text: str) -> None:
    written = write_text(text)
    assert "\0" not in written
    assert written.encode("utf-8").decode("utf-8") == written

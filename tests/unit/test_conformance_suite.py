"""The conformance suite itself: what it asks of the machine of whoever proves a store with it."""

import subprocess
import sys

import pytest

from nightferry.testing.conform_suite import raises


def test_the_suite_is_imported_without_a_test_runner() -> None:
    program = "import sys; sys.modules['pytest'] = None; import nightferry.testing.conformance"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_raises_gives_the_error_that_came() -> None:
    with raises(KeyError, ValueError) as caught:
        int("no number")
    assert "no number" in str(caught.error)


def test_raises_fails_where_nothing_came() -> None:
    with (
        pytest.raises(AssertionError, match="expected KeyError or ValueError, but nothing was raised"),
        raises(KeyError, ValueError),
    ):
        pass


def test_raises_lets_other_errors_through() -> None:
    with pytest.raises(ValueError, match="no number"), raises(KeyError):
        int("no number")

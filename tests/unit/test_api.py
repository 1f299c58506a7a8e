"""The API is whole: for each command of the command line a documented, typed function."""

import dataclasses
import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import nightferry
from nightferry import api
from nightferry.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "python.md"
FUNCTIONS = sorted({name for names in api.COMMANDS.values() for name in names})


def commands(group: object, above: str = "") -> Iterator[str]:
    """Yield the commands below a group as they are typed."""
    below = getattr(group, "commands", None)
    if below is None:
        yield above
        return
    for name, command in below.items():
        yield from commands(command, f"{above} {name}".strip())


def test_every_command_has_its_functions_in_the_api_and_no_other_is_declared() -> None:
    assert set(api.COMMANDS) == set(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_the_api_is_public_documented_and_typed_throughout(name: str) -> None:
    function = getattr(api, name)
    assert name in api.__all__
    assert function.__doc__
    hints = typing.get_type_hints(function)
    assert set(hints) == {*inspect.signature(function).parameters, "return"}
    assert typing.Any not in hints.values()


@pytest.mark.parametrize("name", api.__all__)
def test_every_public_name_is_there(name: str) -> None:
    found = getattr(api, name)
    if inspect.isclass(found) and found.__module__.startswith("nightferry.api."):
        assert dataclasses.is_dataclass(found)
        assert vars(found)["__dataclass_params__"].frozen, "results are values"


@pytest.mark.parametrize("name", [name for name in nightferry.__all__ if name != "__version__"])
def test_the_package_s_own_names_are_the_api_s(name: str) -> None:
    assert getattr(nightferry, name) is getattr(api, name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_page_for_python_documents_every_function(name: str) -> None:
    assert f"`{name}(" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(("was", "is_now"), [("Vigil", "Monitor"), ("keep_vigil", "monitored")])
def test_a_name_that_moved_says_its_new_one(was: str, is_now: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{was} is called {is_now} now"):
        assert getattr(api, was) is getattr(api, is_now)


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'carry_on'"):
        _ = api.carry_on


def test_the_api_itself_imports_none_of_its_parts() -> None:
    program = "import sys; from nightferry import api; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.split() if name.startswith("nightferry.")] == ["nightferry.api"]

"""The few functions that a dialect's rule may name, for values that no unit can tell."""

from collections.abc import Callable, Mapping

from nightferry.formats.cards import Value


def first_of_pair(value: Value) -> Value:
    """Read the first number of ``2*2`` or ``2x2``."""
    return _pair(value)[0]


def second_of_pair(value: Value) -> Value:
    """Read the second number of ``2*2`` or ``2x2``."""
    return _pair(value)[1]


def _pair(value: Value) -> tuple[int, int]:
    parts = str(value).replace("x", "*").replace("X", "*").split("*") if isinstance(value, str) else []
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):  # noqa: PLR2004 - a pair
        raise ValueError("two numbers such as '2*2'")
    return int(parts[0]), int(parts[1])


#: Every function by the name that a dialect file uses.
FUNCTIONS: Mapping[str, Callable[[Value], Value]] = {"first_of_pair": first_of_pair, "second_of_pair": second_of_pair}

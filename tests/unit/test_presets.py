"""Every shipped preset says of its own examples what becomes of them; what it says is what is done."""

from datetime import date

import pytest

from nightferry.config import load_preset, preset_names
from nightferry.config.presets import ExampleSection

EXAMPLES = [(name, example) for name in preset_names() for example in load_preset(name).example]


@pytest.mark.parametrize(
    ("name", "example"), EXAMPLES, ids=[f"{name}: {example.path[-40:]}" for name, example in EXAMPLES]
)
def test_an_example_is_done_as_its_preset_says(name: str, example: ExampleSection) -> None:
    told = load_preset(name).foretell(example.path, name)
    assert (told.name, told.ignored) == (example.name, example.ignored)
    if example.night:
        assert told.night == date.fromisoformat(example.night)

"""Write down what the versions of all shipped presets are now: ``python -m tests.data.versions.make``."""

import json

import pytest

from tests.unit.test_versions import DATA, present, stub_engine

with pytest.MonkeyPatch.context() as patch:
    stub_engine(patch)
    (DATA / "present.json").write_text(json.dumps(present(), indent=1) + "\n", encoding="utf-8")

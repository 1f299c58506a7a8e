"""Assembling: what the configuration's words become."""

from pathlib import Path, PurePath

import pytest

from nightferry import api
from nightferry.assemble import open_route, telescope_store
from nightferry.config import Config, loads
from nightferry.core.errors import Misconfigured
from nightferry.folders import is_unused, make_new_folders
from nightferry.stores.folder import local_path
from nightferry.stores.ftp.store import FtpStore
from tests.unit.conftest import Bench, frame_bytes, light


def config_in(home: Path, more: str = "", *, ledger: str = "", library: str = "library") -> Config:
    url = ledger or f"sqlite:///{(home / 'ledger.db').as_posix()}"
    return loads(f"""
[ledger]
url = "{url}"
[shelf]
path = "{(home / "shelf").as_posix()}"
[telescope.vespera]
preset = "vespera"
source = "ftp://night%20watch@127.0.0.1:2121/user"
archives = ["library"]
{more}
[archive.library]
url = "{(home / library).as_uri()}"
""")


def test_a_user_in_the_url_is_decoded(tmp_path: Path) -> None:
    store = telescope_store(config_in(tmp_path).resolved["vespera"])
    assert isinstance(store, FtpStore)
    assert store._pool.server.address.user == "night watch"


def test_the_lock_stands_beside_the_ledger_wherever_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    route = open_route(config_in(tmp_path, ledger="sqlite:///~/night/ledger.db"), "vespera")
    assert route.lock == tmp_path / "night" / "ledger.db.vespera.lock"


@pytest.mark.parametrize(
    ("path", "windows", "expected"),
    [
        ("/home/me/Astro", False, "/home/me/Astro"),
        ("/C:/Astro", True, "C:/Astro"),
        ("/C:", True, "C:"),
        ("/C:/Astro", False, "/C:/Astro"),
        ("/Astro", True, "/Astro"),
    ],
)
def test_a_file_url_names_a_folder_on_every_system(path: str, windows: bool, expected: str) -> None:  # noqa: FBT001
    assert PurePath(local_path(path, windows=windows)) == PurePath(expected)


def test_a_folder_that_was_never_delivered_to_is_made(bench: Bench) -> None:
    config = config_in(bench.home)
    assert is_unused(bench.ledger, "library")
    make_new_folders(config, bench.ledger, "vespera")
    assert (bench.home / "library").is_dir()


def test_a_folder_that_was_delivered_to_by_any_telescope_is_a_missing_disk(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.carry()
    config = config_in(bench.home, '[telescope.second]\nsource = "ftp://127.0.0.1/x"\narchives = ["library"]')
    assert not is_unused(bench.ledger, "library")
    make_new_folders(config, bench.ledger, "second")
    assert not (bench.home / "library").exists()


def test_a_folder_whose_parent_is_missing_is_left_to_the_operator(bench: Bench) -> None:
    missing = config_in(bench.home, library="no/such")
    make_new_folders(missing, bench.ledger, "vespera")
    assert not (bench.home / "no").exists()


def test_a_file_in_a_folders_place_is_for_the_operator(bench: Bench) -> None:
    (bench.home / "library").write_text("a file")
    with pytest.raises(Misconfigured, match="library"):
        make_new_folders(config_in(bench.home), bench.ledger, "vespera")


def test_everything_public_is_there() -> None:
    assert all(hasattr(api, name) for name in api.__all__)

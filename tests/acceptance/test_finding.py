"""Which telescopes we know and which are in reach: presets, discover, and init that takes what was found."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightferry.config import preset_names
from nightferry.stores.sftp.process import fingerprint
from nightferry.testing.telescope import simulated_vespera
from tests.acceptance.conftest import DONE, FAILED, HELD, MISCONFIGURED, MOUNTS, Desk, Telescope, small_disk
from tests.servers.sshd import USER, Sshd, sshd
from tests.trees import TREES, plant_tree

#: What takes a preset's addresses away: no test asks a network.
NOWHERE = 'source = "file:///nowhere"\n[discover]\nurls = []\n'


def own_preset(desk: Desk, name: str, text: str) -> Path:
    """Put a preset beside the configuration that --config names."""
    file = desk.home / "presets" / f"{name}.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


# presets --------------------------------------------------------------------------------------------------------


def test_all_presets_are_listed_without_any_configuration(desk: Desk) -> None:
    answer = desk.nightferry("presets", "--json")
    assert answer.code == DONE
    told = {str(line["preset"]): line for line in answer.json()}
    assert set(told) == set(preset_names())
    assert told["seestar"]["night"] == "name"
    people = desk.nightferry("presets")
    assert "DWARFLAB Dwarf II" in people.out


def test_a_preset_is_explained_with_examples_and_a_section_to_start_from(desk: Desk) -> None:
    answer = desk.nightferry("presets", "seestar")
    assert answer.code == DONE
    assert "name: the date in the file's own name" in answer.out
    assert "M 81/2025-06-07/seestar_Light_M 81_10.0s_IRCUT_20250607-221746.fit" in answer.out
    assert "ignored: a thumbnail of a preview" in answer.out
    assert "rule     (?:.*/)?(?:[^/]+?_(?P<folder>mosaic)(?:_sub)?|[^/]+)/(?:Light|" in answer.out
    assert "(local time)" in answer.out
    section = answer.out[answer.out.index("  [telescope.seestar]") : answer.out.index("Its file")]
    assert tomllib.loads(section)["telescope"]["seestar"]["preset"] == "seestar"
    (told,) = desk.nightferry("presets", "seestar", "--json").json()
    assert {"examples", "toml", "extends", "overrides"} < set(told)


def test_a_preset_of_ones_own_beside_the_configuration_is_listed_explained_and_used(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "card"
    plant_tree(root, TREES["seestar"])
    file = own_preset(desk, "seestar", f'extends = "seestar"\nsource = "{root.as_uri()}"\nsettle = "0 s"\n')
    answer = desk.nightferry("presets", "seestar")
    assert f"from     {file}, in place of shipped" in answer.out
    told = {str(line["preset"]): line for line in desk.nightferry("presets", "--json").json()}
    assert (told["seestar"]["from"], told["seestar"]["overrides"]) == (str(file), ["shipped"])
    done = desk.nightferry("init", "--preset", "seestar", "--library", str(desk.library))
    assert done.code == DONE, done.err
    run = desk.nightferry("run", "--night", "all", "--json")
    assert (run.code, sum(sheet.delivered for sheet in run.sheets())) == (DONE, 7)


def test_a_presets_file_is_printed_to_start_ones_own_from(desk: Desk) -> None:
    answer = desk.nightferry("presets", "dwarf", "--toml")
    assert tomllib.loads(answer.out)["title"].startswith("DWARFLAB")
    assert answer.out.startswith("# DWARFLAB"), "with its comments"
    assert desk.nightferry("presets", "--toml").code == MISCONFIGURED


def test_a_broken_preset_of_ones_own_hides_no_other(desk: Desk) -> None:
    own_preset(desk, "bad", "titel = 3")
    answer = desk.nightferry("presets", "--json")
    told = {str(line["preset"]): line for line in answer.json()}
    assert answer.code == DONE
    assert "did you mean 'title'" in str(told["bad"]["trouble"])
    assert "title" in told["vespera"]
    assert desk.nightferry("presets", "bad").code == MISCONFIGURED
    unknown = desk.nightferry("presets", "vesper")
    assert (unknown.code, "did you mean 'vespera'" in unknown.err) == (MISCONFIGURED, True)


# discover -------------------------------------------------------------------------------------------------------


def found(desk: Desk, start: str, *words: str) -> list[dict[str, object]]:
    """Look for telescopes; what lies on the tester's own disks, and starts otherwise, is left out."""
    answer = desk.nightferry("discover", *words, "--json")
    assert answer.code == DONE, answer.err
    return [line for line in answer.json() if str(line["source"]).startswith(start)]


def test_where_nothing_is_found_it_says_how_to_look_further(desk: Desk) -> None:
    own_preset(desk, "attic", 'title = "attic"\nname = "{stem}{suffix}"\nsource = "ftp://127.0.0.1:1/x"\n')
    answer = desk.nightferry("discover", "attic")
    assert (answer.code, "no telescope" in answer.out, "--range" in answer.out) == (DONE, True, True)


@pytest.fixture
def dwarf(tmp_path: Path) -> Iterator[str]:
    """A Dwarf on loopback."""
    root = tmp_path / "dwarf"
    plant_tree(root, TREES["dwarf"])
    with simulated_vespera(root, top="Astronomy") as served:
        yield served.url


def test_a_telescope_at_a_known_address_is_found_and_set_up(desk: Desk, vespera: Telescope) -> None:
    own_preset(desk, "vespera", f'extends = "vespera"\nsource = "{vespera.url}"\n')
    (told,) = found(desk, "ftp:", "vespera")
    assert (told["preset"], told["source"], told["trouble"]) == ("vespera", vespera.url, "")
    assert told["fitting"] != 0
    people = desk.nightferry("discover", "vespera")
    assert f"init --preset vespera --source {vespera.url}" in people.out
    done = desk.nightferry("init", "--discover", "--preset", "vespera", "--library", str(desk.library))
    assert done.code == DONE, done.err
    assert tomllib.loads(desk.config.read_text())["telescope"]["vespera"]["source"] == vespera.url


def test_the_root_folder_is_found_in_whatever_spelling(desk: Desk, vespera: Telescope) -> None:
    own_preset(desk, "vespera", f'extends = "vespera"\nsource = "{vespera.url.replace("/user", "/USER")}"\n')
    (told,) = found(desk, "ftp:", "vespera")
    assert told["source"] == vespera.url


def test_a_range_is_looked_through_host_by_host(desk: Desk, dwarf: str) -> None:
    own_preset(desk, "dwarf", f'extends = "dwarf"\nsource = "{dwarf.replace("127.0.0.1", "127.0.0.99")}"\n')
    assert found(desk, "ftp:", "dwarf", "--timeout", "500 ms") == []
    (told,) = found(desk, "ftp:", "dwarf", "--range", "127.0.0.0/30")
    assert (told["preset"], told["source"]) == ("dwarf", dwarf)


def test_a_server_that_is_no_such_telescope_is_not_taken_for_one(desk: Desk, dwarf: str) -> None:
    port = dwarf.rpartition(":")[2].partition("/")[0]
    own_preset(desk, "vespera", f'extends = "vespera"\nsource = "ftp://127.0.0.99:{port}/user"\n')
    assert found(desk, "ftp:", "vespera", "--range", "127.0.0.1", "--timeout", "500 ms") == []


@pytest.mark.parametrize("preset", ["seestar", "dwarf", "asiair", "stellina"])
def test_a_card_or_stick_is_known_by_its_folders(preset: str, desk: Desk, tmp_path: Path) -> None:
    top = {"seestar": "MyWorks", "dwarf": "Astronomy", "asiair": "", "stellina": ""}[preset]
    stick = tmp_path / "stick"
    plant_tree(stick / top, TREES[preset])
    own_preset(desk, preset, f'extends = "{preset}"\n{NOWHERE}')
    told = found(desk, stick.as_uri(), preset, "--folder", str(stick))
    assert [line["preset"] for line in told] == [preset]
    assert told[0]["fitting"] != 0


def test_a_folder_of_that_name_without_such_files_is_no_telescope(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "stick" / "MyWorks").mkdir(parents=True)
    (tmp_path / "stick" / "MyWorks" / "letter.fits").write_bytes(b"x")
    own_preset(desk, "seestar", f'extends = "seestar"\n{NOWHERE}')
    assert found(desk, tmp_path.as_uri(), "seestar", "--folder", str(tmp_path / "stick")) == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--range", "10.0.0.0/8"), "4,096 at most"),
        (("--range", "vespera"), "expected addresses"),
        (("--timeout", "1"), "with its unit"),
        (("vesper",), "did you mean 'vespera'"),
    ],
)
def test_a_wrong_wish_is_told_before_anything_is_tried(desk: Desk, words: tuple[str, ...], complaint: str) -> None:
    answer = desk.nightferry("discover", *words)
    assert (answer.code, complaint in answer.err) == (MISCONFIGURED, True), answer.err


def test_init_takes_nothing_where_nothing_is_found(desk: Desk) -> None:
    own_preset(desk, "vespera", 'extends = "vespera"\nsource = "ftp://127.0.0.1:1/user"\n')
    answer = desk.nightferry("init", "--discover", "--preset", "vespera", "--library", str(desk.library))
    assert (answer.code, "is in reach" in answer.err) == (MISCONFIGURED, True)
    assert not desk.config.exists()


# init over SFTP -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    """A real sshd with a telescope's files."""
    with sshd() as running:
        plant_tree(running.home / "frames", TREES["acp"])
        yield running


def sftp_words(desk: Desk, server: Sshd, *words: str) -> tuple[str, ...]:
    return (
        "init", "--preset", "acp", "--source", f"sftp://127.0.0.1:{server.port}/~/frames", "--user", USER,
        "--secret", f"file:{server.key}", "--library", str(desk.library), *words,
    )  # fmt: skip


def test_a_server_is_made_known_when_its_fingerprint_is_told(desk: Desk, server: Sshd) -> None:
    key = fingerprint("127.0.0.1", server.port)
    answer = desk.nightferry(*sftp_words(desk, server, "--host-key", key.fingerprint))
    assert answer.code == DONE, answer.err
    assert f"{key.kind} {key.fingerprint}" in answer.out
    hosts = desk.home / "known_hosts"
    assert hosts.read_text() == f"{key.line}\n"
    written = tomllib.loads(desk.config.read_text())["telescope"]["acp"]
    assert written["known_hosts"] == hosts.as_posix()
    desk.config.write_text(desk.config.read_text().replace('settle = "60 s"', 'settle = "0 s"'))
    done = desk.nightferry("run", "--night", "all", "--json")
    assert (done.code, sum(sheet.delivered for sheet in done.sheets())) == (DONE, 7), done.err


def test_without_anybody_to_agree_no_server_is_made_known(desk: Desk, server: Sshd) -> None:
    answer = desk.nightferry(*sftp_words(desk, server))
    assert answer.code == MISCONFIGURED
    assert f"--host-key {fingerprint('127.0.0.1', server.port).fingerprint}" in answer.err
    assert not desk.config.exists()
    assert not (desk.home / "known_hosts").exists()


def test_a_server_with_another_fingerprint_is_refused(desk: Desk, server: Sshd) -> None:
    answer = desk.nightferry(*sftp_words(desk, server, "--host-key", "SHA256:somebody"))
    assert answer.code == MISCONFIGURED
    assert "somebody may be in between" in answer.err
    assert not (desk.home / "known_hosts").exists()


def test_a_dry_run_makes_no_server_known(desk: Desk, server: Sshd) -> None:
    key = fingerprint("127.0.0.1", server.port)
    answer = desk.nightferry(*sftp_words(desk, server, "--host-key", key.fingerprint, "--dry-run"))
    assert answer.code == DONE, answer.err
    assert "known_hosts = " in answer.out
    assert not (desk.home / "known_hosts").exists()


# mounts ---------------------------------------------------------------------------------------------------------


def test_an_empty_mount_point_is_never_no_data(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "mnt"
    plant_tree(root, TREES["seestar"])
    own_preset(desk, "seestar", 'extends = "seestar"\nsettle = "0 s"\n')
    desk.config.write_text(
        f'[ledger]\nurl = "sqlite:///{desk.ledger.as_posix()}"\n[shelf]\npath = "{desk.shelf.as_posix()}"\n'
        f'floor = "1 MB"\n[telescope.s]\npreset = "seestar"\nsource = "{root.as_uri()}"\narchives = ["library"]\n'
        f'[archive.library]\nurl = "{desk.library.as_uri()}"\n'
    )
    assert desk.nightferry("run", "s", "--night", "all").code == DONE
    root.rename(tmp_path / "unmounted")
    root.mkdir()
    answer = desk.nightferry("run", "s", "--night", "all", "--json")
    assert answer.code == FAILED
    assert "nothing at all is there, where 11 files were before" in answer.err
    assert sum(sheet.delivered for sheet in answer.sheets()) == 7
    text = desk.config.read_text()
    desk.config.write_text(text.replace("archives =", "mount = true\narchives ="))
    answer = desk.nightferry("check", "--json")
    assert answer.code == FAILED
    assert f"nothing is mounted at {root}" in json.dumps(answer.json())
    desk.config.write_text(text.replace("archives =", "mount = false\narchives ="))
    assert desk.nightferry("run", "s", "--night", "all").code in {DONE, HELD}


if MOUNTS and sys.platform == "linux":

    def test_init_requires_the_disk_that_a_folder_is_on(desk: Desk, tmp_path: Path) -> None:
        point = tmp_path / "mnt"
        with small_disk(point, 4 << 20):
            plant_tree(point / "MyWorks", TREES["seestar"])
            source = (point / "MyWorks").as_uri()
            answer = desk.nightferry("init", "--preset", "seestar", "--source", source, "--library", str(desk.library))
            assert answer.code == DONE, answer.err
            assert tomllib.loads(desk.config.read_text())["telescope"]["seestar"]["mount"] == str(point)
            assert desk.nightferry("check").code == DONE
        (point / "MyWorks").mkdir()
        assert desk.nightferry("check").code == FAILED

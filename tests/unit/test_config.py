import json
import os
from pathlib import Path

import pytest

from nightferry.config import load, load_preset, loads, preset_names
from nightferry.config.secrets import read_secret
from nightferry.config.units import percent, seconds, size_bytes
from nightferry.core.errors import Misconfigured

GOOD = """\
[telescope.vespera]
preset = "vespera"
archives = ["library"]

[archive.library]
url = "file:///tmp/astro"
"""


def complaint(text: str) -> str:
    with pytest.raises(Misconfigured) as caught:
        loads(text, "my.toml")
    return str(caught.value)


def test_what_a_preset_supplies_need_not_be_written() -> None:
    config = loads(GOOD)
    assert config.telescope["vespera"].source is None
    assert load_preset("vespera").source == "ftp://10.0.0.1/user"
    assert config.archive["library"].verify == "reread"
    assert config.shelf.keep == 14 * 86400


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("preset =", "prest =", 2, "did you mean 'preset'"),
        ('url = "file', 'ulr = "file', 6, "did you mean 'url'"),
        ('"file:///tmp/astro"', '"/tmp/astro"', 6, "a folder is written as file:///path"),
        ('"file:///tmp/astro"', '"gopher://x/y"', 6, "expected a URL of a store we know"),
        ('"file:///tmp/astro"', '"file:/"', 6, "three slashes"),
        ('"file:///tmp/astro"', '"ftp:///x"', 6, "the host is missing"),
        ('"file:///tmp/astro"', '"ftp://h:99999/x"', 6, "port"),
        ('"library"]', '"libary"]', 1, "there is no [archive.libary]"),
        ('preset = "vespera"', 'preset = "vespera"\nsettle = "60"', 3, "expected a quantity with its unit"),
        ('preset = "vespera"', 'preset = "vespera"\nsettle = 60', 3, "expected a quantity with its unit"),
        ('preset = "vespera"', 'preset = "vespera"\nsettle = "-1 s"', 3, "cannot be negative"),
        ('preset = "vespera"', 'preset = "vespera"\ntake = ["raw"]', 3, "unknown kind 'raw'"),
        ('preset = "vespera"', 'preset = "vespera"\nsite = "paranal"', 1, "there is no [site.paranal]"),
        ('preset = "vespera"', 'preset = "vespera"\nconnections = 99', 3, "less than or equal to 16"),
        ('url = "file:///tmp/astro"', 'url = "file:///x"\nname = "{objekt}"', 7, "unknown field {objekt}"),
        ('url = "file:///tmp/astro"', 'url = "file:///x"\nname = "{object}"', 7, "gives all frames of a session one"),
        ('url = "file:///tmp/astro"', 'url = "file:///x"\nname = "../{stem}"', 7, "leaves the archive"),
        ('url = "file:///tmp/astro"', 'url = "file:///x"\nname = "{stem"', 7, "no name template"),
        ("[telescope.vespera]", '[telescope."a b"]', 1, "no good name"),
        ("[telescope.vespera]", '[shelf]\nflor = "1 GB"\n[telescope.vespera]', 2, "did you mean 'floor'"),
    ],
)
def test_a_mistake_is_answered_with_its_line_and_what_was_expected(old: str, new: str, line: int, words: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    told = complaint(text)
    assert words in told
    assert f"my.toml:{line}:" in told or line == 1


def test_an_unknown_preset_names_the_nearest() -> None:
    assert "did you mean 'vespera'" in complaint(GOOD.replace('"vespera"', '"vespra"'))


def test_a_telescope_without_any_source_is_refused() -> None:
    assert "needs 'source'" in complaint(GOOD.replace('"vespera"', '"generic"'))


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    told = complaint(GOOD.replace("file:///tmp/astro", "ftps://me:hunter2@example.org/x"))
    assert "holds a password" in told
    assert "hunter2" not in told


def test_a_secret_that_is_no_reference_is_refused_and_not_repeated() -> None:
    told = complaint(GOOD.replace('preset = "vespera"', 'preset = "vespera"\nsecret = "hunter2"'))
    assert "a secret is a reference" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "192.168.88.1", "169.254.3.3", "localhost", "vespera.local"])
def test_plain_ftp_nearby_needs_no_permission(host: str) -> None:
    loads(GOOD.replace("file:///tmp/astro", f"ftp://{host}/x"))


@pytest.mark.parametrize("host", ["8.8.8.8", "ftp.example.org"])
def test_plain_ftp_over_a_public_network_needs_permission(host: str) -> None:
    url = f"ftp://{host}/x"
    assert "insecure = true" in complaint(GOOD.replace("file:///tmp/astro", url))
    loads(GOOD.replace('"file:///tmp/astro"', f'"{url}"\ninsecure = true'))
    loads(GOOD.replace('"file:///tmp/astro"', f'"ftps://{host}/x"'))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nightferry init"):
        load(tmp_path / "none.toml")


def test_text_that_is_no_toml_names_the_place() -> None:
    assert "line 2" in complaint("[telescope.vespera]\npreset vespera\n")


def test_units_are_read() -> None:
    assert seconds("1.5 h") == 5400
    assert seconds("250ms") == 0.25
    assert size_bytes("5 GB") == 5_000_000_000
    assert size_bytes("1 MiB") == 1 << 20
    assert percent("5%") == pytest.approx(0.05)
    with pytest.raises(ValueError, match="at most 100%"):
        percent("200%")


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NF_SECRET", "s3cret")
    assert read_secret("env:NF_SECRET") == "s3cret"
    monkeypatch.delenv("NF_SECRET")
    with pytest.raises(Misconfigured, match="no variable NF_SECRET"):
        read_secret("env:NF_SECRET")


def test_a_secret_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("pass word\n")
    file.chmod(0o600)
    assert read_secret(f"file:{file}") == "pass word"
    with pytest.raises(Misconfigured, match="no such file"):
        read_secret(f"file:{tmp_path / 'none'}")


if os.name == "posix":

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
    def test_a_secret_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
        file = tmp_path / "secret"
        file.write_text("hunter2")
        file.chmod(mode)
        with pytest.raises(Misconfigured, match="chmod 600") as caught:
            read_secret(f"file:{file}")
        assert "hunter2" not in str(caught.value)


def test_a_preset_of_ones_own_comes_before_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTFERRY_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "vespera.toml").write_text('title = "mine"\nname = "{stem}{suffix}"\n')
    (tmp_path / "presets" / "attic.toml").write_text('title = "attic"\nname = "{stem}{suffix}"\n')
    assert load_preset("vespera").title == "mine"
    assert {"attic", "generic", "vespera"} <= set(preset_names())


def test_a_broken_preset_names_its_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTFERRY_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "bad.toml").write_text(
        'title = "x"\nname = "{stem}"\n[layout]\n[[layout.rule]]\nmatch = "("\n'
    )
    with pytest.raises(Misconfigured, match=r"bad\.toml\):5: layout\.rule\.0\.match: not a regular expression"):
        load_preset("bad")


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_is_sound(name: str) -> None:
    preset = load_preset(name)
    assert preset.title
    assert preset.as_layout(None, None).take


def test_the_pool_is_read_by_its_name_and_by_its_old_one() -> None:
    for section in ("pool", "crew"):
        config = loads(f'[{section}]\nkind = "threads"\nworkers = 3\ntelescopes = 5\n')
        assert (config.pool.kind, config.pool.workers, config.pool.telescopes) == ("threads", 3, 5), section
    with pytest.warns(DeprecationWarning, match="is called Config.pool now"):
        assert config.crew == config.pool


def test_a_pool_by_both_its_names_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"\[crew\] is the old name of \[pool\], and here are both: move what"):
        loads("[pool]\nworkers = 2\n[crew]\ntelescopes = 2\n")


@pytest.mark.parametrize("section", ["pool", "crew"])
def test_a_mistake_in_a_pool_is_told_by_the_name_that_stands_there(section: str) -> None:
    with pytest.raises(
        Misconfigured, match=rf"configuration:2: {section}\.worker: unknown key; did you mean 'workers'"
    ):
        loads(f"[{section}]\nworker = 2\n")


def test_the_keys_of_a_window_are_told_as_they_are_written() -> None:
    with pytest.raises(Misconfigured, match=r"unknown key; did you mean 'from'\?; expected from, to, limit"):
        loads('[archive.a]\nurl = "file:///a"\nwindows = [{form = "20:00", to = "21:00", limit = "1 MB/s"}]\n')


@pytest.mark.parametrize(
    "url",
    [
        "ftp//me:hunter2@10.0.0.1/user", "ftp:me:hunter2@10.0.0.1/user", "ftq://me:hunter2@10.0.0.1/user",
        "ftp://me:hunter2@10.0.0.1:port/user", "ftp://me:hunter2@[10.0.0.1/user", "me:hunter2@10.0.0.1",
        "ftp://me:hun/ter2@10.0.0.1/user?x", "ftp://me:hunter2@10.0.0.1/user#1", "sftp://me:hunter2@\u2100.example/x",
        "smb://me:hunter2@10.0.0.1", "s3://me:hunter2@bucket:1/x",
    ],
)  # fmt: skip
def test_a_url_that_is_not_understood_never_repeats_what_may_be_a_password(url: str) -> None:
    telescope = f'[telescope.t]\npreset = "vespera"\nsource = {json.dumps(url)}\narchives = ["a"]\n'
    text = f'{telescope}[archive.a]\nurl = "file:///a"\n'
    with pytest.raises(Misconfigured) as caught:
        loads(text)
    assert "hunter2" not in str(caught.value)
    assert "ter2" not in str(caught.value)

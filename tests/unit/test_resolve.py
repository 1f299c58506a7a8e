"""Resolving: telescope, preset, site and archives become one value, once, when the configuration is loaded."""

from pathlib import Path

import pytest

from nightferry import api
from nightferry.config import Config, for_run, load, loads
from nightferry.config.preset import Preset, load_preset
from nightferry.core.context import Site
from nightferry.core.errors import Misconfigured
from nightferry.core.night import NightRule
from nightferry.monitor import monitored
from tests.astra_night import build_astra_night

PLAIN = """
[site.paranal]
latitude = "-24.61596 deg"
longitude = "-70.3903 deg"
elevation = "2482 m"
[telescope.mine]
preset = "vespera"
archives = ["library", "vault"]
{telescope}
[archive.library]
url = "file:///library"
[archive.vault]
url = "file:///vault"
name = "{{stem}}{{suffix}}"
{more}
"""


def config_with(telescope: str = "", more: str = "") -> Config:
    return loads(PLAIN.format(telescope=telescope, more=more))


def test_what_a_telescope_does_not_say_its_preset_says() -> None:
    mine = config_with().resolved["mine"]
    assert (mine.source, mine.settle, mine.route) == ("ftp://10.0.0.1/user", 10.0, ("verify",))
    assert mine.layout.night is NightRule.FOLDER
    assert mine.site is None
    assert mine.longitude is None


def test_what_a_telescope_says_comes_before_its_preset() -> None:
    mine = config_with(
        'source = "ftp://me@10.0.0.2/x"\nsettle = "5 s"\nroute = ["verify", "standardise"]\nsite = "paranal"\n'
        'night = "utc-12h"\ntake = ["tiff"]\n'
    ).resolved["mine"]
    assert (mine.source, mine.settle, mine.route) == ("ftp://me@10.0.0.2/x", 5.0, ("verify", "standardise"))
    assert mine.store.user == "me"
    assert mine.site == Site(-24.61596, -70.3903, 2482.0)
    assert (mine.layout.longitude, mine.layout.night, mine.layout.take) == (
        -70.3903, NightRule.UTC_12H, frozenset({"tiff"}),
    )  # fmt: skip


def test_an_archive_names_frames_by_its_own_template_or_by_the_presets() -> None:
    library, vault = config_with().resolved["mine"].archives
    assert (library.name, library.template) == ("library", "{object}/{object}_{date}_{stem}{suffix}")
    assert (vault.name, vault.template) == ("vault", "{stem}{suffix}")


def test_a_telescopes_own_site_and_headers_come_before_those_of_a_preset_that_has_some() -> None:
    config = loads(
        '[site.here]\nlatitude = "1 deg"\nlongitude = "2 deg"\n'
        '[telescope.a]\npreset = "speculoos-io"\nsource = "file:///a"\narchives = ["x"]\n'
        '[telescope.b]\npreset = "speculoos-io"\nsource = "file:///b"\narchives = ["x"]\nsite = "here"\n'
        '[telescope.b.header]\ntelescop = "B"\nfitsverify = false\n[telescope.b.solve]\nradius = "3 deg"\n'
        '[archive.x]\nurl = "file:///x"\n'
    )
    a, b = config.resolved["a"], config.resolved["b"]
    assert a.longitude == pytest.approx(-70.3903)
    assert b.longitude == 2.0
    assert (a.header.telescop, a.header.fitsverify, a.header.profile) == ("SPECULOOS-IO", True, "eso")
    assert (b.header.telescop, b.header.fitsverify, b.header.profile) == ("B", False, "eso")
    assert (a.solve.radius, b.solve.radius) == (a.solve.radius, 3.0)
    assert a.solve.scales == b.solve.scales


def test_each_preset_is_read_once_and_only_when_the_configuration_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(name: str, beside: Path | None = None) -> Preset:
        asked.append(name)
        return load_preset(name, beside)

    monkeypatch.setattr("nightferry.config.resolve.load_preset", counted)
    config = config_with(more='[telescope.other]\npreset = "vespera"\narchives = ["vault"]\n')
    assert asked == ["vespera"]
    assert set(for_run(config, program="X").resolved) == {"mine", "other"}
    assert asked == ["vespera"]


def test_nothing_that_follows_reads_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("raw", "library"):
        (tmp_path / name).mkdir()
    config = loads(
        f'[ledger]\nurl = "sqlite:///{(tmp_path / "ledger.db").as_posix()}"\n'
        f'[shelf]\npath = "{(tmp_path / "shelf").as_posix()}"\nfloor = "1 MB"\n[pool]\nkind = "threads"\n'
        f'[books]\npath = "{(tmp_path / "books").as_posix()}"\n'
        f'[telescope.callisto]\npreset = "speculoos-callisto"\nsource = "{(tmp_path / "raw").as_uri()}"\n'
        'program = "60.A-9009(D)"\nsettle = "0 s"\narchives = ["library"]\n'
        'route = ["verify", "standardise", "validate"]\n'
        f'[archive.library]\nurl = "{(tmp_path / "library").as_uri()}"\n'
    )

    def refuse(*_args: object) -> None:
        raise AssertionError("a preset was read")

    for module in ("config.resolve", "config.preset", "config"):
        monkeypatch.setattr(f"nightferry.{module}.load_preset", refuse)
    build_astra_night(tmp_path / "raw", kinds=("light",) * 2)
    noted: list[str] = []
    with (
        api.open_ledger(config) as ledger,
        monitored(config, ledger, ["callisto"], noted.append, hasty=True) as monitor,
    ):
        done = api.run(config, ledger, "callisto", ["all"])
        monitor.passed("callisto", done)
    assert [(balance.delivered, balance.held) for balance in done.balances] == [(2, 0)]
    assert noted == []
    assert "60.A-9009(D)" in (tmp_path / "books" / "callisto" / "transfer_log.txt").read_text()


def test_a_run_that_names_its_programme_replaces_the_telescopes() -> None:
    config = config_with('program = "A"\nrequire = ["program", "night"]')
    mine, run = config.resolved["mine"], for_run(config, program="B", take=["fits"]).resolved["mine"]
    assert (mine.program, mine.missing(night=True), mine.missing(night=False)) == (
        "A",
        ["program"],
        ["program", "night"],
    )
    assert (run.program, run.missing(night=True), run.missing(night=False)) == ("B", [], ["night"])
    assert run.layout.take == frozenset({"fits"})
    assert for_run(config).resolved["mine"] == mine


def test_the_options_of_a_watch_replace_its_pause_and_its_limit() -> None:
    config = config_with(more='[telescope.mine.watch]\nevery = "7 s"\n')
    assert for_run(config).resolved["mine"].watch == config.telescope["mine"].watch
    watch = for_run(config, every=3.0, empty=2).resolved["mine"].watch
    assert (watch.every, watch.empty) == (3.0, 2)


def test_a_script_that_exchanges_a_section_has_it_resolved_again() -> None:
    config = config_with()
    changed = config.telescope["mine"].model_copy(update={"settle": 3.0})
    copy = config.model_copy(update={"telescope": {"mine": changed}})
    assert (config.resolved["mine"].settle, copy.resolved["mine"].settle) == (10.0, 3.0)


def test_a_telescope_without_a_source_is_refused_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "nightferry.toml"
    file.write_text('[telescope.a]\narchives = ["x"]\n[archive.x]\nurl = "file:///x"\n')
    with pytest.raises(Misconfigured, match=r"nightferry\.toml: telescope\.a needs 'source', for preset 'generic'"):
        load(file)

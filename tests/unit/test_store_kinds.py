"""How a URL finds its store, and how the store's own keys of a section are checked."""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nightferry.assemble import make_store
from nightferry.config import loads
from nightferry.core.errors import Misconfigured
from nightferry.stores import kinds
from nightferry.stores.kinds import GROUP, OURS, kind_of, schemes
from nightferry.stores.memory import MemoryStore

ARCHIVE = '[archive.vault]\nurl = "{}"\n'
FOREIGN = """
from nightferry.stores.kinds import Keys, StoreKind
from nightferry.stores.memory import MemoryStore

class DrawerKeys(Keys):
    drawer: int = 1

DRAWER = StoreKind(DrawerKeys, lambda place, keys: MemoryStore(label=f"drawer {keys.drawer} of {place.url.hostname}"))
NO_KIND = "drawer"
"""


def refusal(text: str) -> str:
    with pytest.raises(Misconfigured) as refused:
        loads(text, "my.toml")
    return str(refused.value)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Install a package whose entry point is the given one, and forget it afterwards."""

    def done(point: str) -> None:
        (tmp_path / "drawers_of_a_desk.py").write_text(FOREIGN, encoding="utf-8")
        info = tmp_path / "drawers-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drawers\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{point}\n", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        forget()

    yield done
    forget()


def forget() -> None:
    kind_of.cache_clear()
    kinds._installed.cache_clear()


def test_our_stores_are_entry_points_like_all_others() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"][GROUP] == OURS


@pytest.mark.parametrize("scheme", OURS)
def test_every_key_of_our_stores_has_a_default(scheme: str) -> None:
    kind = kind_of(scheme)
    assert kind is not None
    kind.keys()


def test_an_unknown_key_is_answered_with_the_keys_of_its_store() -> None:
    told = refusal(ARCHIVE.format("sftp://vault/x") + 'known_host = "/x"')
    assert "my.toml:3: archive.vault.known_host: unknown key; did you mean 'known_hosts'" in told
    assert "timeout" in told
    assert "endpoint" not in told


def test_all_mistakes_of_a_section_are_told_at_once() -> None:
    told = refusal(ARCHIVE.format("ftps://vault/x") + 'tries = 0\nverify_tls = "perhaps"\ncaa = "/x"')
    assert [line.partition(": ")[0] for line in told.splitlines()] == ["my.toml:3", "my.toml:4", "my.toml:5"]
    assert "did you mean 'ca'" in told


def test_a_url_and_keys_that_do_not_go_together_are_refused_with_their_place() -> None:
    told = refusal("[shelf]\n" + ARCHIVE.format("ftp://vault.example.org/x"))
    assert told.startswith("my.toml:2: archive.vault: plain FTP to vault.example.org")


@pytest.mark.parametrize("url", ["file:///vault", "ftp://10.0.0.1/x", "sftp://vault/x", "smb://vault/x", "s3://vault"])
def test_keys_of_another_of_our_stores_are_passed_over(url: str) -> None:
    lines = 'known_hosts = "/x"\nencrypt = false\nendpoint = "https://h"\nregion = "eu"\ninsecure = true\nca = "/x"'
    assert loads(ARCHIVE.format(url) + lines).archive["vault"].url == url


def test_keys_of_a_telescope_whose_preset_names_the_store_are_checked_with_their_place() -> None:
    telescope = '[telescope.vespera]\npreset = "vespera"\narchives = ["vault"]\n{}\n' + ARCHIVE.format("file:///vault")
    loads(telescope.format("insecure = true"))
    assert "my.toml:4: telescope.vespera.insecure: " in refusal(telescope.format("insecure = 7"))
    assert "did you mean 'insecure'" in refusal(telescope.format("insecur = true"))


def test_a_store_of_another_package_has_keys_of_its_own(install: Callable[[str], None]) -> None:
    install("drawer = drawers_of_a_desk:DRAWER")
    archive = loads(ARCHIVE.format("drawer://desk") + "drawer = 3").archive["vault"]
    store = make_store(archive, archive.url)
    assert isinstance(store, MemoryStore)
    assert store.traits.label == "drawer 3 of desk"
    assert schemes() == [*OURS, "drawer"]
    assert "did you mean 'drawer'" in refusal(ARCHIVE.format("drawer://desk") + "drawr = 3")
    assert "insecure: unknown key" in refusal(ARCHIVE.format("drawer://desk") + "insecure = true")
    assert "my.toml:3: archive.vault.drawer: " in refusal(ARCHIVE.format("drawer://desk") + 'drawer = "third"')
    assert "the host is missing" in refusal(ARCHIVE.format("drawer:///x"))
    assert "drawer://" in refusal(ARCHIVE.format("gopher://desk"))


def test_a_key_that_another_package_knows_may_stand_beside_a_preset(install: Callable[[str], None]) -> None:
    install("drawer = drawers_of_a_desk:DRAWER")
    told = refusal(
        '[telescope.t]\npreset = "vespera"\narchives = ["vault"]\ndrawer = 2\n' + ARCHIVE.format("file:///v")
    )
    assert "ftp:// stores do not take drawer" in told


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("drawers_of_nobody:DRAWER", "cannot be loaded: No module named"),
        ("drawers_of_a_desk:SHELF", "cannot be loaded"),
        ("drawers_of_a_desk:NO_KIND", "is of type str, expected a StoreKind"),
    ],
)
def test_a_store_that_cannot_be_loaded_is_told_with_what_to_do(
    value: str, says: str, install: Callable[[str], None]
) -> None:
    install(f"drawer = {value}")
    told = refusal(ARCHIVE.format("drawer://desk"))
    assert f"the store of drawer:// ({value})" in told
    assert says in told
    assert "package" in told

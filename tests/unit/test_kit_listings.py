"""What listings of all stores do alike: which folders are entered, and which names are let through."""

from nightferry.core.store import Oddity, StorePath
from nightferry.disk.parts import part_name
from nightferry.stores.kit.listings import Names, above_all, entering


def test_a_folder_is_asked_for_once_and_nothing_in_one_that_was_declined() -> None:
    asked: list[str] = []

    def enter(folder: StorePath) -> bool:
        asked.append(folder)
        return folder != "skip"

    inside = entering(enter)
    shown = ["a.fits", "keep/a.fits", "keep/b.fits", "keep/deep/c.fits"]
    declined = ["skip/a.fits", "skip/deep/b.fits"]
    assert [path for path in [*shown, *declined] if inside(StorePath(path))] == shown
    assert asked == ["keep", "keep/deep", "skip"]


def test_without_a_question_every_folder_is_entered() -> None:
    assert entering(None)(StorePath("any/where/a.fits"))


def test_the_folders_above_a_path_come_outermost_first() -> None:
    assert above_all(StorePath("a/b/c.fits")) == ["a", "a/b"]
    assert above_all(StorePath("c.fits")) == []


def test_a_name_in_a_folder_is_a_path_an_oddity_or_an_unfinished_file_of_ours() -> None:
    names = Names(StorePath("night"))
    assert names.path("a.fits", 6) == "night/a.fits"
    assert names.path("..", 2) == Oddity("name", StorePath("night"), "..")
    assert names.path(part_name(), 60) is None
    assert Names(StorePath("")).path("a.fits", 6) == "a.fits"


def test_a_name_that_makes_its_path_too_long_is_an_oddity() -> None:
    deep = StorePath("/".join(["n" * 200] * 20))
    assert Names(deep).path("a" * 200, 200) == Oddity("name", deep, "a" * 200)
    assert Names(deep).path("a" * 20, 20) == f"{deep}/{'a' * 20}"

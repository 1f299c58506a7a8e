"""The pages hang together: every link leads somewhere, every page can be found, every picture is used."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "changes").glob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """Find a page's links, those in code left out."""
    return LINK.findall(CODE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """Tell the anchors of a page's headings, as Markdown readers make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads to {target}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading; there are {sorted(anchors(target))}"
        if page.is_relative_to(DOCS):
            assert target.is_relative_to(DOCS), f"{link} leaves the pages, and the site knows nothing outside of them"


def test_every_page_stands_in_the_site_once() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", site, re.MULTILINE)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_every_decision_stands_in_their_list_under_its_title() -> None:
    listed = re.findall(r"^\| \[(\d+)\]\((\S+)\) \| (.+) \|$", (DOCS / "decisions/index.md").read_text(), re.MULTILINE)
    pages = sorted(page for page in (DOCS / "decisions").glob("*.md") if page.name != "index.md")
    assert [name for _, name, _ in listed] == [page.name for page in pages]
    for (number, _, title), page in zip(listed, pages, strict=True):
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. {title}\n")
        assert page.name.startswith(f"{int(number):04}-")


def test_every_picture_is_shown_and_fetches_nothing() -> None:
    shown = {link for page in PAGES for link in links(page)}
    for picture in (DOCS / "pictures").glob("*.svg"):
        assert any(link.endswith(f"pictures/{picture.name}") for link in shown), picture
        text = picture.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text
        assert "<script" not in text


def test_every_change_is_of_a_known_kind() -> None:
    known = re.findall(r"^\| `(\w+)` \|", (ROOT / "changes/README.md").read_text(encoding="utf-8"), re.MULTILINE)
    for change in (ROOT / "changes").iterdir():
        if change.name != "README.md":
            assert re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(known)})\.md", change.name), change

"""Listings as servers write them, good and bad, beside what they must be read as."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nightferry.core.store import ROOT, Entry, Oddity, StorePath
from nightferry.stores.ftp.listing import Clock, Listing, entries_of, facts_of, read_machine, read_plain, read_time
from nightferry.stores.paths import name_refusal, part_name, path_refusal

NIGHT = StorePath("night")


def us(year: int, month: int, day: int, *clock: int) -> int:
    hour, minute, second = (*clock, 0, 0, 0)[:3]
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * 1_000_000


def clock(year: int = 2026, month: int = 11, day: int = 21) -> Clock:
    return Clock(us(year, month, day))


def plain(text: str, folder: str = "", at: Clock | None = None) -> Listing:
    listing = read_plain(text, StorePath(folder))
    entries_of(listing, (at or clock()).tell)
    return listing


def files(listing: Listing) -> dict[str, int]:
    return {entry.path: entry.size for entry in listing.files}


VSFTPD = """\
drwxr-xr-x    2 0        0            4096 Nov 20 22:14 2026-11-20_NGC7023\r
-rw-r--r--    1 0        0        16588800 Nov 20 22:15 img-0001.fits\r
-rw-r--r--    1 1000     1000            0 Jan 02  2024 empty.fits\r
lrwxrwxrwx    1 0        0              11 Nov 20 22:15 latest -> img-0001.fits\r
-rw-r--r--    1 0        0             100 Nov 20 22:15 a -> b.fits\r
-rw-r--r--    1 0        0             100 Nov 20 22:15  leading blank.fits\r
-rw-r--r--    1 0        0             100 Nov 20 22:15 trailing blank.fits \r
"""


def test_vsftpd_listing_is_read_to_the_last_line() -> None:
    listing = plain(VSFTPD, "night")
    assert listing.files == [
        Entry(StorePath("night/img-0001.fits"), 16_588_800, us(2026, 11, 20, 22, 15), 60_000_000),
        Entry(StorePath("night/empty.fits"), 0, us(2024, 1, 2), 86_400_000_000),
        Entry(StorePath("night/a -> b.fits"), 100, us(2026, 11, 20, 22, 15), 60_000_000),
        Entry(StorePath("night/ leading blank.fits"), 100, us(2026, 11, 20, 22, 15), 60_000_000),
        Entry(StorePath("night/trailing blank.fits "), 100, us(2026, 11, 20, 22, 15), 60_000_000),
    ]
    assert listing.folders == ["night/2026-11-20_NGC7023"]
    assert listing.oddities == [Oddity("link", NIGHT, "latest -> img-0001.fits")]


@pytest.mark.parametrize(
    ("line", "size", "name"),
    [
        pytest.param("-rw-r--r--   1 ftp      ftp             42 Mar  1 00:00 a.fits", 42, "a.fits", id="pure-ftpd"),
        pytest.param("-rw-r--r--. 1 astro domain users 42 Mar  1 00:00 a.fits", 42, "a.fits", id="blank in a group"),
        pytest.param("-rw-rw-rw-+ 1 astro staff 42 Mar  1  2025 a.fits", 42, "a.fits", id="access list"),
        pytest.param("-rw-r--r-- 1 astro 42 Mar 1 2025 a.fits", 42, "a.fits", id="no group, single blanks"),
        pytest.param("-rw-r--r-- 1 astro staff 42 2025-03-01 21:15 a.fits", 42, "a.fits", id="ISO date"),
        pytest.param(
            "-rw-r--r-- 1 astro staff 42 2025-03-01 21:15:07.123456789 +0100 a.fits", 42, "a.fits", id="full ISO date"
        ),
        pytest.param("-rw-r--r-- 1 astro staff 42 1 Mar 2025 a.fits", 42, "a.fits", id="day before month"),
        pytest.param("-rw-r--r-- 1 0 0 42 Mar  1 21:15:07 2025 a.fits", 42, "a.fits", id="seconds and year"),
        pytest.param("----------   1 owner    group        42 Apr  4  1996 a.fits", 42, "a.fits", id="IIS as Unix"),
        pytest.param(
            "-rwxrwxrwx 1 0 0 42 Mar  1 21:15 5 Mar  1 21:15 a.fits", 42, "5 Mar  1 21:15 a.fits", id="date in a name"
        ),
        pytest.param(
            "-rwxrwxrwx 1 0 0 42 Mar  1 21:15 d\u00e9j\u00e0\u2028vu.fits",
            42,
            "d\u00e9j\u00e0\u2028vu.fits",
            id="line separator",
        ),
        pytest.param("-rwxrwxrwx 1 0 0 42 Mar  1 21:15 bad\udcff.fits", 42, "bad\udcff.fits", id="not UTF-8"),
        pytest.param("-rwxrwxrwx 1 0 0 42 Mar  1  2025  two.fits", 42, " two.fits", id="leading blank after a year"),
        pytest.param("-rwxrwxrwx 1 0 0 42 Mar  1 2025  two.fits", 42, " two.fits", id="and after a narrow year"),
        pytest.param("11-20-26  09:15PM               16588800 img 1.fits", 16_588_800, "img 1.fits", id="IIS"),
        pytest.param("11-20-2026  21:15               16588800 img.fits", 16_588_800, "img.fits", id="IIS, long year"),
        pytest.param("11-20-26  12:15AM           16,588,800 img.fits", 16_588_800, "img.fits", id="IIS, commas"),
        pytest.param("11-20-26  09:15PM               16588800  lead.fits", 16_588_800, " lead.fits", id="IIS, blank"),
        pytest.param("2026-11-20  21:15               5 a.fits", 5, "a.fits", id="DOS, ISO date"),
    ],
)
def test_file_lines_of_many_servers_are_files(line: str, size: int, name: str) -> None:
    listing = plain(line + "\r\n")
    assert files(listing) == {name: size}
    assert listing.oddities == []
    assert listing.files[0].mtime_us is not None


@pytest.mark.parametrize(
    ("line", "time", "resolution"),
    [
        ("-rw-r--r-- 1 0 0 1 Nov 20 22:15 a", us(2026, 11, 20, 22, 15), 60_000_000),
        ("-rw-r--r-- 1 0 0 1 Dec 24 22:15 a", us(2025, 12, 24, 22, 15), 60_000_000),
        ("-rw-r--r-- 1 0 0 1 Dec 24  2023 a", us(2023, 12, 24), 86_400_000_000),
        ("-rw-r--r-- 1 0 0 1 Feb 29 22:15 a", us(2024, 2, 29, 22, 15), 60_000_000),
        ("-rw-r--r-- 1 0 0 1 Mar  1 21:15:07 2025 a", us(2025, 3, 1, 21, 15, 7), 1_000_000),
        ("-rw-r--r-- 1 0 0 1 2025-03-01 21:15:07.5 +0130 a", us(2025, 3, 1, 19, 45, 7), 1_000_000),
        ("11-20-26  12:15AM 1 a", us(2026, 11, 20, 0, 15), 60_000_000),
        ("11-20-26  12:15PM 1 a", us(2026, 11, 20, 12, 15), 60_000_000),
        ("11-20-69  11:59PM 1 a", us(2069, 11, 20, 23, 59), 60_000_000),
        ("11-20-70  11:59PM 1 a", us(1970, 11, 20, 23, 59), 60_000_000),
    ],
)
def test_listed_times_are_read_with_their_resolution(line: str, time: int, resolution: int) -> None:
    [entry] = plain(line).files
    assert (entry.mtime_us, entry.resolution_us) == (time, resolution)


@pytest.mark.parametrize("when", ["Xyz 12 10:00", "Feb 31 10:00", "Nov 20 25:00", "Nov 20 10:61", "Nov 00 10:00"])
def test_file_with_an_impossible_time_is_a_file_without_one(when: str) -> None:
    [entry] = plain(f"-rw-r--r-- 1 0 0 1 {when} a").files
    assert entry.mtime_us is None


def test_dos_folders_and_links_are_told_from_files() -> None:
    listing = plain(
        "11-20-26  09:15PM       <DIR>          Night 1\r\n"
        "11-20-26  09:15PM       <DIR>           blank\r\n"
        "11-20-26  09:15PM       <JUNCTION>     All [C:\\All]\r\n"
        "11-20-26  09:15PM       <SYMLINKD>     Old [D:\\Old]\r\n"
        "11-20-26  09:15PM       <NONSENSE>     What\r\n"
    )
    assert listing.folders == ["Night 1", " blank"]
    assert [oddity.kind for oddity in listing.oddities] == ["link", "link", "special"]
    assert listing.files == []


def test_devices_sockets_and_pipes_are_special() -> None:
    listing = plain(
        "crw-rw-rw-    1 0        0          1,   3 Nov 20 22:15 null\n"
        "brw-rw----    1 0        6          8,   0 Nov 20 22:15 sda\n"
        "srwxr-xr-x    1 0        0               0 Nov 20 22:15 socket\n"
        "prw-r--r--    1 0        0               0 Nov 20 22:15 pipe\n"
    )
    assert [(oddity.kind, oddity.text) for oddity in listing.oddities] == [
        ("special", name) for name in ("null", "sda", "socket", "pipe")
    ]


@pytest.mark.parametrize("line", ["total 1234", "total 0", "Total 12  ", "", "   ", "\r"])
def test_lines_that_carry_nothing_are_passed_over(line: str) -> None:
    listing = plain(f"{line}\n")
    assert (listing.files, listing.folders, listing.oddities) == ([], [], [])


@pytest.mark.parametrize(
    "line",
    [
        "-rw-r--r-- 1 0 0 notanumber Nov 20 22:15 a.fits",
        "-rw-r--r-- 1 0 0 99999999999999999999 Nov 20 22:15 a.fits",
        "-rw-r--r-- 1 0 0 5 20 novembre 22h15 a.fits",
        "- [RWCEAFMS] supervisor 512 Jan 16 18:53 a.fits",
        "+i8388621.48594,m825718503,r,s280,\ta.fits",
        "what is this?",
        "total files found",
        "11-20-26  09:15PM               many a.fits",
    ],
)
def test_line_that_cannot_be_read_is_counted_as_odd(line: str) -> None:
    listing = plain(f"{line}\r\n-rw-r--r-- 1 0 0 5 Nov 20 22:15 good.fits\r\n", "night")
    assert files(listing) == {"night/good.fits": 5}
    [oddity] = listing.oddities
    assert (oddity.kind, oddity.folder) == ("line", "night")
    assert oddity.text in line


HOSTILE = ("../../x", "/etc/passwd", "..\\x", "C:\\x", "C:x", "a/b", "a\rb", "a\0b", "..", ".")


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_could_do_harm_are_odd_as_files(name: str) -> None:
    plainly = plain(f"-rw-r--r-- 1 0 0 5 Nov 20 22:15 {name}\r\n", "night")
    machine = read_machine(f"type=file;size=5;modify=20261120221500; {name}\r\n", NIGHT)
    for listing in (plainly, machine):
        assert listing.files == []
        assert listing.oddities == [Oddity("name", NIGHT, name)]


@pytest.mark.parametrize("name", HOSTILE[:-2])
def test_names_that_could_do_harm_are_odd_as_folders(name: str) -> None:
    plainly = plain(f"drwxr-xr-x 2 0 0 5 Nov 20 22:15 {name}\r\n", "night")
    machine = read_machine(f"type=dir;modify=20261120221500; {name}\r\n", NIGHT)
    for listing in (plainly, machine):
        assert listing.folders == []
        assert listing.oddities == [Oddity("name", NIGHT, name)]


def test_folder_itself_and_the_one_above_are_passed_over() -> None:
    plainly = plain("drwxr-xr-x 2 0 0 5 Nov 20 22:15 .\r\ndrwxr-xr-x 2 0 0 5 Nov 20 22:15 ..\r\n")
    machine = read_machine("type=cdir;modify=20261120221500; .\r\ntype=pdir;modify=20261120221500; ..\r\n", NIGHT)
    for listing in (plainly, machine):
        assert (listing.files, listing.folders, listing.oddities) == ([], [], [])


def test_our_own_unfinished_files_are_not_listed_but_known() -> None:
    part = part_name()
    plainly = plain(f"-rw-r--r-- 1 0 0 5 Nov 20 22:15 {part}\r\n")
    machine = read_machine(f"type=file;size=5;modify=20261120221500; {part}\r\n", NIGHT)
    for listing in (plainly, machine):
        assert (listing.files, listing.oddities, listing.parts) == ([], [], {part: 5})


def test_path_longer_than_systems_hold_is_odd() -> None:
    deep = StorePath("/".join(["d" * 200] * 20))
    listing = plain(f"drwxr-xr-x 2 0 0 5 Nov 20 22:15 {'d' * 200}\r\n", deep)
    assert listing.folders == []
    assert [oddity.kind for oddity in listing.oddities] == ["name"]


def test_name_listed_twice_is_one_file() -> None:
    plainly = plain("-rw-r--r-- 1 0 0 5 Nov 20 22:15 a.fits\r\n" * 2 + "drwxr-xr-x 2 0 0 5 Nov 20 22:15 d\r\n" * 2)
    machine = read_machine(
        "type=file;size=5;modify=20261120221500; a.fits\r\n" * 2 + "type=dir; d\r\n" * 2, StorePath("")
    )
    for listing in (plainly, machine):
        assert files(listing) == {"a.fits": 5}
        assert listing.folders == ["d"]


PROFTPD = """\
modify=20261120221503;perm=adfrw;size=16588800;type=file;unique=801U1;UNIX.group=0;UNIX.mode=0644;UNIX.owner=0; a.fits\r
modify=20261120221503;perm=adfrw;size=5;type=OS.unix=symlink;unique=801U2;UNIX.group=0;UNIX.mode=0777; b.fits\r
modify=20261120221503;perm=flcdmpe;type=cdir;unique=801U3;UNIX.group=0;UNIX.mode=0755;UNIX.owner=0; .\r
modify=20261120221503;perm=flcdmpe;type=dir;unique=801U4;UNIX.group=0;UNIX.mode=0755;UNIX.owner=0; night 1\r
"""
PURE_FTPD = """\
type=cdir;sizd=4096;modify=20261120221503;UNIX.mode=0777;UNIX.uid=0;UNIX.gid=0;unique=1g; .\r
type=file;size=16588800;modify=20261120221503;UNIX.mode=0644;UNIX.uid=0;UNIX.gid=0;unique=2g; a.fits\r
type=OS.unix=slink:a.fits;size=6;modify=20261120221503;UNIX.mode=0777;UNIX.uid=0;UNIX.gid=0;unique=3g; b.fits\r
type=dir;sizd=4096;modify=20261120221503;UNIX.mode=0755;UNIX.uid=0;UNIX.gid=0;unique=4g; night 1\r
"""
PYFTPDLIB = """\
type=file;size=16588800;perm=r;modify=20261120221503;unique=801e32; a.fits\r
type=dir;size=4096;perm=el;modify=20261120221503;unique=801e33; night 1\r
type=OS.unix=symlink;size=4;perm=r;modify=20261120221503;unique=801e33; b.fits\r
"""


@pytest.mark.parametrize("text", [PROFTPD, PURE_FTPD, PYFTPDLIB], ids=["proftpd", "pure-ftpd", "pyftpdlib"])
def test_machine_listings_are_exact(text: str) -> None:
    listing = read_machine(text, NIGHT)
    assert listing.files == [Entry(StorePath("night/a.fits"), 16_588_800, us(2026, 11, 20, 22, 15, 3))]
    assert listing.folders == ["night/night 1"]
    assert listing.oddities == [Oddity("link", NIGHT, "b.fits")]


@pytest.mark.parametrize(
    ("line", "name", "time"),
    [
        ("type=file;size=5;modify=20261120221503.25; a.fits", "a.fits", us(2026, 11, 20, 22, 15, 3) + 250_000),
        ("Type=File;Size=5;Modify=20261120221503; a.fits", "a.fits", us(2026, 11, 20, 22, 15, 3)),
        ("MODIFY=20261120221503;SIZE=5;TYPE=file;  a ;b.fits", " a ;b.fits", us(2026, 11, 20, 22, 15, 3)),
        ("type=file;size=5; a.fits", "a.fits", None),
        ("type=file;size=5;modify=; a.fits", "a.fits", None),
        ("type=file;size=5;modify=20261320221503; a.fits", "a.fits", None),
        ("type=file;size=5;modify=191261120221503; a.fits", "a.fits", None),
    ],
)
def test_machine_lines_may_vary(line: str, name: str, time: int | None) -> None:
    first = "type=file;size=1;modify=20261120221503; first.fits\r\n"
    for text in (line, first + line):
        listing = read_machine(f"{text}\r\n", StorePath(""))
        assert [(entry.path, entry.size, entry.mtime_us) for entry in listing.files][-1] == (name, 5, time)
        assert listing.oddities == []


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("type=file;modify=20261120221503; no size.fits", "line"),
        ("type=file;size=-5;modify=20261120221503; a.fits", "line"),
        ("type=file;size=5;modify=20261120221503 a.fits", "line"),
        ("size=5;modify=20261120221503; a.fits", "line"),
        ("no facts at all", "line"),
        ("type=OS.unix=chr-1/3;modify=20261120221503; null", "special"),
    ],
)
def test_machine_lines_that_carry_nothing_are_odd(line: str, kind: str) -> None:
    good = "type=file;size=1;modify=20261120221503; good.fits"
    listing = read_machine(f"{good}\r\n{line}\r\n", StorePath(""))
    assert files(listing) == {"good.fits": 1}
    assert [oddity.kind for oddity in listing.oddities] == [kind]


def test_facts_are_split_from_the_name_at_the_first_blank() -> None:
    assert facts_of("type=file;Size=5; a b;c=d.fits") == ({"type": "file", "size": "5"}, "a b;c=d.fits")
    assert facts_of("nothing") is None


# -- what must hold for any text ---------------------------------------------------------------------------------

TEXT = st.text(alphabet=st.characters(codec="utf-8") | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))
LINES = st.lists(
    TEXT
    | st.tuples(st.sampled_from("-dlcbsp?"), st.sampled_from(["5", "1, 3", "x"]), TEXT).map(
        lambda parts: f"{parts[0]}rw-r--r-- 1 0 0 {parts[1]} Nov 20 22:15 {parts[2]}"
    )
    | st.tuples(st.sampled_from(["<DIR>         ", "5", "<LINK>"]), TEXT).map(
        lambda parts: f"11-20-26  09:15PM       {parts[0]} {parts[1]}"
    )
    | st.tuples(st.sampled_from(["file", "dir", "cdir", "OS.unix=slink:x", ""]), TEXT).map(
        lambda parts: f"type={parts[0]};size=5;modify=20261120221503; {parts[1]}"
    )
).map("\r\n".join)


@given(text=LINES, folder=st.sampled_from(["", "night", "a/b c"]))
@example(text="-rw-r--r-- 1 0 0 5 Nov 20 22:15 ../../../etc/cron.d/x", folder="")
def test_no_listing_ever_leads_out_of_its_folder(text: str, folder: str) -> None:
    for listing in (plain(text, folder), read_machine(text, StorePath(folder))):
        prefix = f"{folder}/" if folder else ""
        for path in (*listing.folders, *(entry.path for entry in listing.files)):
            assert path.startswith(prefix)
            assert "/" not in path[len(prefix) :]
            assert path_refusal(path) == ""
        assert all(entry.size >= 0 for entry in listing.files)


@given(text=LINES)
def test_every_line_of_a_listing_is_accounted_for(text: str) -> None:
    listing = read_machine(text, StorePath(""))
    lines = {line for raw in text.split("\n") if (line := raw.removesuffix("\r")).strip()}
    silent = {line for line in lines if line.lower().startswith(("type=cdir", "type=pdir"))}
    count = len(listing.files) + len(listing.folders) + len(listing.oddities) + len(listing.parts)
    assert count + len(silent) >= len({line.partition(" ")[2] for line in lines})


@given(name=st.from_regex(r"[A-Za-z0-9_+,=()\[\]-][A-Za-z0-9_+,=() .\[\]-]{0,200}", fullmatch=True))
def test_names_read_in_one_go_are_never_ones_that_are_refused(name: str) -> None:
    assert name_refusal(name) == ""
    assert files(plain(f"-rw-r--r-- 1 0 0 5 Nov 20 22:15 {name}\r\n")) == {name: 5}
    assert files(read_machine(f"type=file;size=5;modify=20261120221503; {name}\r\n", StorePath(""))) == {name: 5}


def test_long_lines_of_blanks_and_digits_are_read_in_no_time() -> None:
    text = "\n".join(["-rw-r--r-- " + "1 " * 50_000, "-rw-r--r-- " + " " * 100_000, "type=" + "a=;" * 50_000])
    assert [oddity.kind for oddity in plain(text).oddities] == ["line"] * 3
    assert [oddity.kind for oddity in read_machine(text, NIGHT).oddities] == ["line"] * 3


ABROAD = [
    "juil. 15",
    "Mär 15",
    "M\udce4r 15",
    "11月 15",
    "11月 15日",
    "15. Mai",
    "août 15",
    "ноя 15",
    "12월 15",
    "Okt 15",
]


@pytest.mark.parametrize("day", ABROAD)
@pytest.mark.parametrize("clock", ["22:10", " 2024"])
def test_month_of_another_language_costs_no_line(day: str, clock: str) -> None:
    listing = read_plain(f"-rw-r--r-- 1 telescope 50 5760 {day} {clock} img 1.fits\r\n", ROOT)
    assert listing.oddities == []
    [(size, when, name, _)] = listing.rows
    assert (size, name) == ("5760", "img 1.fits")
    listed = read_time(when)
    assert listed is not None
    assert listed.day == 15


def test_month_that_nobody_knows_leaves_a_file_without_time() -> None:
    listing = read_plain("-rw-r--r-- 1 pi pi 5760 brumaire 15 22:10 a.fits\r\n", ROOT)
    assert listing.oddities == []
    assert entries_of(listing, Clock(0).tell) == [Entry(StorePath("a.fits"), 5760, None, 0)]


def test_folder_with_a_month_of_another_language_is_entered() -> None:
    assert read_plain("drwxr-xr-x 2 pi pi 4096 févr. 3 2024 night\r\n", ROOT).folders == ["night"]

"""Many rows in one statement: they are the rows that SQLAlchemy would have written one by one."""

from datetime import date
from pathlib import Path

from sqlalchemy import insert, select

from nightferry.core.frame import FrameId, Role, Sighting
from nightferry.core.night import Night
from nightferry.core.store import StorePath
from nightferry.ledger.bulk import write_rows
from nightferry.ledger.database import open_database
from nightferry.ledger.rows import Value, sighting_row
from nightferry.ledger.schema import sightings

NAMES = ("plain.fits", "caf\udce9.fits", "back\\slash", "nul\0.fits", "\ud800 alone")


def rows() -> list[dict[str, Value]]:
    night = Night("vespera", date(2026, 9, 12))
    seen = [
        Sighting(night, StorePath(name), place, None if place % 2 else place, 7, Role.RAW, ignored=name, refused="")
        for place, name in enumerate(NAMES)
    ]
    return [dict(sighting_row(place + 1, FrameId(f"{place:032}"), one)) for place, one in enumerate(seen)]


def test_many_rows_read_back_as_they_were(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/ledger.db", wait=1)
    with database.writing() as connection:
        write_rows(connection, insert(sightings), rows())
    with database.reading() as connection:
        found = [dict(row) for row in connection.execute(select(sightings).order_by(sightings.c.seq)).mappings()]
    database.close()
    assert found == rows()


def test_many_rows_stand_in_the_file_as_single_ones_do(tmp_path: Path) -> None:
    written = []
    for name in ("many", "single"):
        database = open_database(f"sqlite:///{tmp_path}/{name}.db", wait=1)
        with database.writing() as connection:
            if name == "many":
                write_rows(connection, insert(sightings), rows())
            for row in rows() if name == "single" else ():
                connection.execute(insert(sightings), row)
        with database.reading() as connection:
            written.append(connection.exec_driver_sql("SELECT *, typeof(evening) FROM sightings").all())
        database.close()
    assert written[0] == written[1]
    assert len(written[0]) == len(NAMES)


def test_no_rows_are_no_work(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/ledger.db", wait=1)
    with database.writing() as connection:
        write_rows(connection, insert(sightings), [])
    with database.reading() as connection:
        assert connection.execute(select(sightings)).all() == []
    database.close()

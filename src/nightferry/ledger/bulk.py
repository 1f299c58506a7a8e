"""Many rows in one statement.

SQLAlchemy makes the parameters of a statement row by row and name by name, which takes longer than SQLite takes to
write the row. Here a statement is compiled once, and what its columns' types ask for is done column by column.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter

from sqlalchemy import Connection, Dialect, Insert

from nightferry.ledger.rows import Value


def write_rows(connection: Connection, statement: Insert, rows: Sequence[Mapping[str, Value]]) -> None:
    """Write rows by an insert of whole rows, each a mapping of all its table's columns; none is no work."""
    if not rows:
        return
    sql, names, processors = _prepared(statement, connection.dialect)
    columns: list[Sequence[object]] = list(zip(*map(itemgetter(*names), rows), strict=True))
    for place, process in processors:
        columns[place] = list(map(process, columns[place]))
    connection.exec_driver_sql(sql, list(zip(*columns, strict=True)))


@lru_cache(maxsize=32)
def _prepared(
    statement: Insert, dialect: Dialect
) -> tuple[str, tuple[str, ...], tuple[tuple[int, Callable[[object], object]], ...]]:
    """Return a statement's text, the columns of its parameters in order, and what is done to those of them by place."""
    compiled = statement.compile(dialect=dialect)
    if compiled.positiontup is None:
        raise AssertionError(f"{dialect.name} does not number its parameters")
    names = tuple(compiled.positiontup)
    types = [statement.table.c[name].type.dialect_impl(dialect) for name in names]
    found = [(place, kind.bind_processor(dialect)) for place, kind in enumerate(types)]
    return str(compiled), names, tuple((place, process) for place, process in found if process is not None)

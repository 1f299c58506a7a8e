"""Writing a cube: planes go over byte by byte, each read once, and every sum is made on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from nightferry.core.errors import Changed, Held
from nightferry.core.store import BUFFER_SIZE
from nightferry.cubes.head import Head
from nightferry.cubes.source import Source, opened
from nightferry.cubes.table import table_bytes
from nightferry.formats.cards import BLOCK
from nightferry.formats.datasum import Datasum, folded
from nightferry.formats.rewrite import sealed


class Damaged(Held):
    """A frame's data are not those that its own DATASUM tells of, or cannot be read."""

    def __init__(self, source: Source, reason: str) -> None:
        super().__init__(f"{source.file}: {reason}")
        self.source, self.reason = source, reason


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: bytes, the sums of both data units, the sum of each plane."""

    size: int
    datasums: tuple[int, int]
    planes: tuple[int, ...]


def write_cube(
    out: BinaryIO, sources: Sequence[Source], head: Head, moved: Callable[[int], object] = lambda _count: None
) -> Written:
    """Write a whole cube to an empty file; ``moved`` is told of bytes as they pass.

    Raises `Changed` when a frame is gone or another, `Damaged` when its data are wrong; what was written is then
    of no use. Errors of the file that is written come as they are.
    """
    cards = [card.raw for card in head.cards]
    out.seek(len(sealed(cards, 0)))
    buffer = memoryview(bytearray(BUFFER_SIZE))
    planes: list[int] = []
    total, at = 0, 0
    for source in sources:
        plane = _copy_plane(source, out, buffer, moved)
        planes.append(plane)
        total += _moved_on(plane, at)
        at += source.length
    _write_all(out, memoryview(bytes(-at % BLOCK)))
    columns = [replace(each, values=planes) if each.name == "DATASUM" else each for each in head.columns]
    table, of_table = table_bytes(columns, len(sources), head.order)
    _write_all(out, memoryview(table))
    size = out.tell()
    out.seek(0)
    _write_all(out, memoryview(sealed(cards, folded(total))))
    return Written(size, (folded(total), of_table), tuple(planes))


def _moved_on(datasum: int, at: int) -> int:
    """Return what bytes add to the sum of a file in which they begin at a byte: words turn with their place."""
    return datasum << 8 * (-at % 4)


def _copy_plane(source: Source, out: BinaryIO, buffer: memoryview, moved: Callable[[int], object]) -> int:
    """Copy a frame's data, and tell their sum."""
    summed, left = Datasum(), source.length
    with opened(source) as stream:
        while left:
            count = _read(source, stream, buffer[: min(len(buffer), left)])
            if not count:
                raise Changed(f"{source.file} became shorter while its cube was made; nothing of that cube was kept")
            piece = buffer[:count]
            summed.add(piece)
            _write_all(out, piece)
            left -= count
            moved(count)
        _check_sum(source, stream, summed)
    return summed.value


def _read(source: Source, stream: BinaryIO, piece: memoryview) -> int:
    try:
        count: int = stream.readinto(piece)  # type: ignore[attr-defined]
    except OSError as err:
        raise Damaged(source, f"its data cannot be read: {err.strerror}") from err
    return count


def _write_all(out: BinaryIO, piece: memoryview) -> None:
    """Write all of a piece: an unbuffered file may take a part of it when its disk is nearly full."""
    while piece:
        piece = piece[out.write(piece) :]


def _check_sum(source: Source, stream: BinaryIO, summed: Datasum) -> None:
    """Compare with the frame's own DATASUM, which counts the fill as well."""
    if source.datasum is None:
        return
    whole = Datasum()
    fill = stream.read(-source.length % BLOCK)
    whole.add(memoryview(fill))
    if (found := folded(summed.value + _moved_on(whole.value, source.length))) != source.datasum:
        raise Damaged(source, f"its data are not those of its DATASUM: {source.datasum} told, {found} found")

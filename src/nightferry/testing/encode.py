"""Pixels to the bytes of FITS, TIFF and JPEG files, for simulated telescopes.

Written out by hand on purpose: what a simulated telescope offers must not come from the code that is tested
with it, and must cost no dependency.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

BLOCK = 2880  # FITS standard 4.0, section 3.1
CARD = 80

Card = tuple[str, bool | int | float | str, str]


def fits_card(keyword: str, value: bool | float | str, comment: str = "") -> str:  # noqa: FBT001 - FITS has logicals
    """Write one header card in fixed format, 80 characters (FITS standard 4.0, sections 4.1 and 4.2)."""
    if isinstance(value, bool):
        field = f"{'T' if value else 'F':>20}"
    elif isinstance(value, str):
        quoted = value.replace("'", "''")
        field = f"'{quoted:<8}'".ljust(20)
    else:
        field = f"{repr(value).upper():>20}"
    card = f"{keyword:<8}= {field}"
    if comment:
        card = f"{card} / {comment}"
    if len(card) > CARD and len(field) + 10 > CARD:
        raise ValueError(f"the value of {keyword} does not fit into a card: {value!r}")
    return card[:CARD].ljust(CARD)


def fits_header(cards: Iterable[Card]) -> bytes:
    """Write a header: the cards, END, and blanks up to a whole number of blocks."""
    text = "".join(fits_card(*card) for card in cards) + "END".ljust(CARD)
    return text.encode("ascii").ljust(-(-len(text) // BLOCK) * BLOCK)


def fits_data(pixels: npt.NDArray[np.uint16]) -> bytes:
    """Write the data unit of unsigned 16-bit pixels: big-endian, offset by BZERO = 32768, padded to whole blocks."""
    raw = (pixels ^ np.uint16(0x8000)).astype(">u2").tobytes()
    return raw + bytes(-len(raw) % BLOCK)


def fits_image(cards: Iterable[Card], pixels: npt.NDArray[np.uint16]) -> bytes:
    """Write a FITS file of one uint16 image, shape (height, width); ``cards`` are those after the structure's own."""
    height, width = pixels.shape
    structure: list[Card] = [
        ("SIMPLE", True, "conforms to the FITS standard"),  # standard 4.0, section 4.4.1
        ("BITPIX", 16, "bits per pixel"),
        ("NAXIS", 2, "number of axes"),
        ("NAXIS1", width, "pixels per row"),
        ("NAXIS2", height, "rows"),
        ("BZERO", 32768, "unsigned pixels: value = file * BSCALE + BZERO"),  # section 5.2.5
        ("BSCALE", 1, ""),
    ]
    return fits_header([*structure, *cards]) + fits_data(pixels)


def tiff_rgb16(pixels: npt.NDArray[np.uint16]) -> bytes:
    """Write an uncompressed 16-bit RGB TIFF of shape (height, width, 3): one strip (TIFF 6.0, sections 2 and 6)."""
    height, width, _ = pixels.shape
    data = pixels.astype("<u2").tobytes()
    short, long = 3, 4
    count = 11
    bits_at = 8 + 2 + 12 * count + 4
    data_at = bits_at + 8
    entries = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, 3, bits_at),  # BitsPerSample: three values, kept behind the directory
        (259, short, 1, 1),  # Compression: none
        (262, short, 1, 2),  # PhotometricInterpretation: RGB
        (273, long, 1, data_at),
        (274, short, 1, 1),  # Orientation: row 0 on top
        (277, short, 1, 3),
        (278, long, 1, height),
        (279, long, 1, len(data)),
        (284, short, 1, 1),  # PlanarConfiguration: chunky
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = struct.pack("<2sHIH", b"II", 42, 8, count) + directory + struct.pack("<I", 0)
    return head + struct.pack("<HHHH", 16, 16, 16, 0) + data


def jpeg_rgb8(pixels: npt.NDArray[np.uint8], *, step: int = 12) -> bytes:
    """Write a baseline JPEG of shape (height, width, 3), uint8; a larger quantiser ``step`` is smaller and coarser.

    The Huffman tables travel in the file, so they may be simple: every symbol of a table has a code of the
    same length (ITU-T T.81, annexes B, C and F).
    """
    height, width, _ = pixels.shape
    table = bytes(min(255, step + (i + 1) // 4) for i in range(64))
    dc_symbols, ac_symbols = bytes(range(12)), _ac_symbols()
    parts = [
        b"\xff\xd8",
        _segment(0xE0, b"JFIF\0" + struct.pack(">HBHHBB", 0x0101, 0, 1, 1, 0, 0)),
        _segment(0xDB, b"\0" + table),
        _segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0))),
        _segment(0xC4, b"\x00" + _lengths(4, len(dc_symbols)) + dc_symbols),
        _segment(0xC4, b"\x10" + _lengths(8, len(ac_symbols)) + ac_symbols),
        _segment(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0))),
    ]
    bits = "".join(_entropy_bits(_quantised(pixels, table)))
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return b"".join([*parts, scan, b"\xff\xd9"])


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _lengths(length: int, count: int) -> bytes:
    """Say that all ``count`` codes of a Huffman table are ``length`` bits long."""
    return bytes(count if i == length else 0 for i in range(1, 17))


@lru_cache(maxsize=1)
def _ac_symbols() -> bytes:
    """List the AC symbols of baseline JPEG: run of zeros times 16 plus bit length, end of block, run of sixteen."""
    return bytes([0x00, 0xF0, *(run << 4 | size for run in range(16) for size in range(1, 11))])


@lru_cache(maxsize=1)
def _zigzag() -> npt.NDArray[np.intp]:
    """Order the 64 coefficients along the diagonals, as flat indices."""
    places = sorted(
        ((row, column) for row in range(8) for column in range(8)),
        key=lambda place: (sum(place), place[1] if sum(place) % 2 == 0 else place[0]),
    )
    return np.array([8 * row + column for row, column in places])


def _quantised(pixels: npt.NDArray[np.uint8], table: Sequence[int]) -> npt.NDArray[np.int64]:
    """Turn pixels into quantised cosine coefficients in zigzag order: (blocks, 3, 64)."""
    red, green, blue = np.moveaxis(pixels.astype(np.float64), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # JFIF 1.02
    planes = np.stack([luma - 128, (blue - luma) / 1.772, (red - luma) / 1.402])
    bottom, right = -planes.shape[1] % 8, -planes.shape[2] % 8
    planes = np.pad(planes, ((0, 0), (0, bottom), (0, right)), mode="edge")
    rows, columns = planes.shape[1] // 8, planes.shape[2] // 8
    blocks = planes.reshape(3, rows, 8, columns, 8).transpose(1, 3, 0, 2, 4).reshape(rows * columns, 3, 8, 8)
    k, n = np.mgrid[0:8, 0:8]
    cosines = np.where(k == 0, np.sqrt(0.125), 0.5 * np.cos((2 * n + 1) * k * np.pi / 16))
    coefficients = (cosines @ blocks @ cosines.T).reshape(rows * columns, 3, 64)[..., _zigzag()]
    quantised: npt.NDArray[np.int64] = np.rint(coefficients / np.array(list(table))).astype(np.int64)
    return quantised


def _entropy_bits(blocks: npt.NDArray[np.int64]) -> Iterator[str]:
    """Code the coefficients, as texts of zeros and ones."""
    code = {symbol: f"{i:08b}" for i, symbol in enumerate(_ac_symbols())}
    last = [0, 0, 0]
    for block in blocks:
        for component, coefficients in enumerate(block):
            level = int(coefficients[0])
            size, amplitude = _amplitude(level - last[component])
            last[component] = level
            yield f"{size:04b}{amplitude}"
            before = 0
            for place in np.flatnonzero(coefficients[1:]) + 1:
                run = int(place) - before - 1
                before = int(place)
                yield code[0xF0] * (run // 16)
                size, amplitude = _amplitude(int(coefficients[place]))
                yield code[run % 16 << 4 | size] + amplitude
            if before != 63:
                yield code[0x00]


def _amplitude(value: int) -> tuple[int, str]:
    """Return a coefficient's bit length and its bits; negative ones are one's complement (T.81, F.1.2.1)."""
    size = abs(value).bit_length()
    if size == 0:
        return 0, ""
    return size, f"{value if value > 0 else value + (1 << size) - 1:0{size}b}"

"""Inspect: choose the inspector that fits a file's name.

The inspectors see a file's bytes once, while they stream by, and tell afterwards whether the file is whole. Bytes in,
findings out: they open nothing, keep nothing of what they are fed, and need little memory whatever a file claims.
"""

from nightferry.formats.findings import Checksums, Findings, Inspector
from nightferry.formats.flow import Inspection, Reader, read_anything
from nightferry.formats.gz import GzipInspector
from nightferry.formats.hdus import read_hdus
from nightferry.formats.jpeg import read_jpeg
from nightferry.formats.jsontext import read_json
from nightferry.formats.png import read_png
from nightferry.formats.tiff import read_tiff

__all__ = ["Checksums", "Findings", "Inspector", "inspector_for"]

_READERS: dict[str, tuple[str, Reader]] = {
    ".fits": ("fits", read_hdus),
    ".fit": ("fits", read_hdus),
    ".fts": ("fits", read_hdus),
    ".fz": ("fits", read_hdus),
    ".tif": ("tiff", read_tiff),
    ".tiff": ("tiff", read_tiff),
    ".jpg": ("jpeg", read_jpeg),
    ".jpeg": ("jpeg", read_jpeg),
    ".png": ("png", read_png),
    ".json": ("json", read_json),
}


def inspector_for(name: str, size: int) -> Inspector:
    """Give the inspector for a file by the last suffix of its name, whatever its case.

    ``size`` is the length in bytes that the store announced, negative if it told none; a file of another length
    has a problem. A ``.gz`` file is unpacked in flight and judged by the suffix before. Files of unknown kinds get
    an inspector that only counts.
    """
    name = name.rpartition("/")[2].lower()
    if name.endswith(".gz"):
        kind, reader = _reader_of(name.removesuffix(".gz"))
        return GzipInspector(f"{kind}.gz", size, Inspection(kind, -1, reader))
    kind, reader = _reader_of(name)
    return Inspection(kind, size, reader)


def _reader_of(name: str) -> tuple[str, Reader]:
    """Return the kind of a file and who reads it."""
    _, dot, suffix = name.rpartition(".")
    return _READERS.get(dot + suffix, ("other", read_anything))

"""Cubes: a night's frames of one kind as planes of one file, with a table that tells of each."""

from nightferry.cubes.group import Group, LeftOut, Plan, Wishes, plan
from nightferry.cubes.source import Settings, Source, read_source
from nightferry.cubes.split import split_cube
from nightferry.cubes.write import Written, write_cube

__all__ = [
    "Group",
    "LeftOut",
    "Plan",
    "Settings",
    "Source",
    "Wishes",
    "Written",
    "plan",
    "read_source",
    "split_cube",
    "write_cube",
]

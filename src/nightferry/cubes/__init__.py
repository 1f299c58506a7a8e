"""Cubes: a night's frames of one kind as planes of one file, with a table that tells of each."""

from nightferry.cubes.group import Group, LeftOut, Plan, Wishes, plan, sort_out
from nightferry.cubes.source import Settings, Source, read_source
from nightferry.cubes.split import split_cube
from nightferry.cubes.traits import Traits, no_traits, traits_from
from nightferry.cubes.write import Written, write_cube

__all__ = [
    "Group", "LeftOut", "Plan", "Settings", "Source", "Traits", "Wishes", "Written", "no_traits", "plan",
    "read_source", "sort_out", "split_cube", "traits_from", "write_cube",
]  # fmt: skip

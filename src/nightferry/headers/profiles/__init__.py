"""Profiles: what the headers of each archive must say, as data: one TOML file each."""

from nightferry.headers.profiles.load import load_profile, profile_names
from nightferry.headers.profiles.make import Made, make_header
from nightferry.headers.profiles.model import Profile, profile_settings

__all__ = ["Made", "Profile", "load_profile", "make_header", "profile_names", "profile_settings"]

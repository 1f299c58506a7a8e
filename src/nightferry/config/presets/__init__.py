"""Telescopes as data: one TOML file each."""

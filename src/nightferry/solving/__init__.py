"""Plate solving: pixels to stars to an engine's guess to a refined solution, past one gate."""

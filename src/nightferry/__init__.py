"""nightferry carries each night's frames from a telescope to its archives, and proves that nothing was lost."""

__version__ = "0.1.0"

"""nightferry carries each night's frames from a telescope to its archives, and proves that nothing was lost.

The commands' work is callable from Python: see `nightferry.api`.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]

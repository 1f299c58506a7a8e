"""Books: plain files that say what was transferred and what was not, and their copies in other stores."""

from nightferry.books.copies import Copier
from nightferry.books.nights import write_books

__all__ = ["Copier", "write_books"]

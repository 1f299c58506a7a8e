"""Rules: what every header must keep, one small function each."""

from nightferry.headers.rules.book import RULES, judge
from nightferry.headers.rules.fitsverify import fitsverify
from nightferry.headers.rules.subject import Subject, read_subject

__all__ = ["RULES", "Subject", "fitsverify", "judge", "read_subject"]

"""Rules: what every header must keep, one small function each."""

from nightferry.rules.book import RULES, judge
from nightferry.rules.fitsverify import fitsverify
from nightferry.rules.subject import Subject, read_subject

__all__ = ["RULES", "Subject", "fitsverify", "judge", "read_subject"]

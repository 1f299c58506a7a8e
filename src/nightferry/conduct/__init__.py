"""Conduct: drive one telescope's nights down its route, hand work to a crew, and write the receipts.

Only the conductor writes to the ledger; workers get frames and give back results.
"""

from nightferry.conduct.audit import Finding, Stranger, Verdict, audit, strangers
from nightferry.conduct.clearing import clear
from nightferry.conduct.passes import Orders, Pass, Planned, run_pass
from nightferry.conduct.route import Route
from nightferry.conduct.watching import Watched, watch

__all__ = [
    "Finding",
    "Orders",
    "Pass",
    "Planned",
    "Route",
    "Stranger",
    "Verdict",
    "Watched",
    "audit",
    "clear",
    "run_pass",
    "strangers",
    "watch",
]

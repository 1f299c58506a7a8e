"""Conduct: drive one telescope's nights down its route, hand work to a crew, and write the receipts.

Only the conductor writes to the ledger; workers get frames and give back results.
"""

from nightferry.conduct.audit import Finding, Stranger, Verdict, audit, strangers
from nightferry.conduct.clearing import clear
from nightferry.conduct.passes import Orders, Pass, Planned, run_pass
from nightferry.conduct.restoring import Restored, restore
from nightferry.conduct.route import Route
from nightferry.conduct.watching import Watched, watch

__all__ = [
    "Finding",
    "Orders",
    "Pass",
    "Planned",
    "Restored",
    "Route",
    "Stranger",
    "Verdict",
    "Watched",
    "audit",
    "clear",
    "restore",
    "run_pass",
    "strangers",
    "watch",
]

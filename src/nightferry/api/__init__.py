"""What the commands do, callable from Python: for each command a function, with typed arguments and results.

::

    from nightferry import api

    config = api.load()
    with api.open_ledger(config) as ledger:
        done = api.run(config, ledger, "vespera", ["all"])
        for balance in done.balances:
            print(balance.night, balance.delivered, balance.closed)

`COMMANDS` says which function does the work of which command. Every function raises
`nightferry.core.errors.Misconfigured` for what a person must change first, and other `NightferryError` as its docstring
says. A name is loaded when it is first asked for, so that nobody waits for what he does not use.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nightferry.alerts import AuditAlerts
    from nightferry.api._alerts import Alerts, alert, alerts, send_alerts
    from nightferry.api._audit import AuditTrouble, audit, audit_alerts, audit_each, own_archives, strangers
    from nightferry.api._carry import retry, run, run_each, runnable, watch, watch_each
    from nightferry.api._check import Check, check
    from nightferry.api._clear import clear
    from nightferry.api._cube import SplitCube, cube, cube_settings, plan_cube, split
    from nightferry.api._demo import DemoEvent, demo, demo_folder
    from nightferry.api._held import HeldWork, find_any, find_one, held, release
    from nightferry.api._index import (
        Download,
        IndexStatus,
        TelescopeField,
        index_build,
        index_download,
        index_extent,
        index_folder,
        index_folders,
        index_offers,
        index_scales,
        index_sources,
        index_status,
    )
    from nightferry.api._init import SetUp, Setup, config_file, init, move_over, write_moved
    from nightferry.api._ledger import ledger_backup, ledger_check
    from nightferry.api._nights import (
        HeaderChange,
        History,
        NightSheet,
        cubes,
        delivered_names,
        header_changes,
        night,
        nights,
        raw_digest,
        star_facts,
        why,
    )
    from nightferry.api._presets import KnownPreset, PresetExample, discover, preset, presets
    from nightferry.api._restore import restore
    from nightferry.api._routes import evenings_of
    from nightferry.api._service import Service, UnitFile, Units, cron_line, find_services, service
    from nightferry.api._solve import Solved, solve, solving_of
    from nightferry.api._standardise import StandardisedFile, Validated, standardise, validate
    from nightferry.api._status import status
    from nightferry.assemble import Hands, idle_hands, open_ledger, telescope_names
    from nightferry.config import Config, for_run, load, loads
    from nightferry.core.alert import Letter
    from nightferry.core.audit import Finding, Stranger, Verdict
    from nightferry.core.balance import Balance, Bin
    from nightferry.core.ledger import Account, Ledger
    from nightferry.core.overview import Overview
    from nightferry.cubes import LeftOut, Plan
    from nightferry.discover import Found
    from nightferry.monitor import Monitor, monitored
    from nightferry.passes.restore import Restored
    from nightferry.passes.run import Orders, Pass
    from nightferry.passes.watch import Watched
    from nightferry.solving.building import Order
    from nightferry.solving.indexes import Index
    from nightferry.solving.model import Answer
    from nightferry.solving.model import Settings as SolveSettings
    from nightferry.steps.clear import Clearance
    from nightferry.steps.cube_files import Cubed, CubeSettings

__all__ = [
    "COMMANDS",
    "Account",
    "Alerts",
    "Answer",
    "AuditAlerts",
    "AuditTrouble",
    "Balance",
    "Bin",
    "Check",
    "Clearance",
    "Config",
    "CubeSettings",
    "Cubed",
    "DemoEvent",
    "Download",
    "Finding",
    "Found",
    "Hands",
    "HeaderChange",
    "HeldWork",
    "History",
    "Index",
    "IndexStatus",
    "KnownPreset",
    "Ledger",
    "LeftOut",
    "Letter",
    "Monitor",
    "NightSheet",
    "Order",
    "Orders",
    "Overview",
    "Pass",
    "Plan",
    "PresetExample",
    "Restored",
    "Service",
    "SetUp",
    "Setup",
    "SolveSettings",
    "Solved",
    "SplitCube",
    "StandardisedFile",
    "Stranger",
    "TelescopeField",
    "UnitFile",
    "Units",
    "Validated",
    "Verdict",
    "Watched",
    "alert",
    "alerts",
    "audit",
    "audit_alerts",
    "audit_each",
    "check",
    "clear",
    "config_file",
    "cron_line",
    "cube",
    "cube_settings",
    "cubes",
    "delivered_names",
    "demo",
    "demo_folder",
    "discover",
    "evenings_of",
    "find_any",
    "find_one",
    "find_services",
    "for_run",
    "header_changes",
    "held",
    "idle_hands",
    "index_build",
    "index_download",
    "index_extent",
    "index_folder",
    "index_folders",
    "index_offers",
    "index_scales",
    "index_sources",
    "index_status",
    "init",
    "ledger_backup",
    "ledger_check",
    "load",
    "loads",
    "monitored",
    "move_over",
    "night",
    "nights",
    "open_ledger",
    "own_archives",
    "plan_cube",
    "preset",
    "presets",
    "raw_digest",
    "release",
    "restore",
    "retry",
    "run",
    "run_each",
    "runnable",
    "send_alerts",
    "service",
    "solve",
    "solving_of",
    "split",
    "standardise",
    "star_facts",
    "status",
    "strangers",
    "telescope_names",
    "validate",
    "watch",
    "watch_each",
    "why",
    "write_moved",
]

#: Where each name is.
_HOMES = {
    "nightferry.alerts": ("AuditAlerts",),
    "nightferry.api._alerts": (
        "Alerts",
        "alert",
        "alerts",
        "send_alerts",
    ),
    "nightferry.api._audit": (
        "AuditTrouble",
        "audit",
        "audit_alerts",
        "audit_each",
        "own_archives",
        "strangers",
    ),
    "nightferry.api._carry": (
        "retry",
        "run",
        "run_each",
        "runnable",
        "watch",
        "watch_each",
    ),
    "nightferry.api._check": (
        "Check",
        "check",
    ),
    "nightferry.api._clear": ("clear",),
    "nightferry.api._cube": (
        "SplitCube",
        "cube",
        "cube_settings",
        "plan_cube",
        "split",
    ),
    "nightferry.api._demo": (
        "DemoEvent",
        "demo",
        "demo_folder",
    ),
    "nightferry.api._held": (
        "HeldWork",
        "find_any",
        "find_one",
        "held",
        "release",
    ),
    "nightferry.api._index": (
        "Download",
        "IndexStatus",
        "TelescopeField",
        "index_build",
        "index_download",
        "index_extent",
        "index_folder",
        "index_folders",
        "index_offers",
        "index_scales",
        "index_sources",
        "index_status",
    ),
    "nightferry.api._init": (
        "SetUp",
        "Setup",
        "config_file",
        "init",
        "move_over",
        "write_moved",
    ),
    "nightferry.api._ledger": ("ledger_backup", "ledger_check"),
    "nightferry.api._nights": (
        "HeaderChange",
        "History",
        "NightSheet",
        "cubes",
        "delivered_names",
        "header_changes",
        "night",
        "nights",
        "raw_digest",
        "star_facts",
        "why",
    ),
    "nightferry.api._presets": (
        "KnownPreset",
        "PresetExample",
        "discover",
        "preset",
        "presets",
    ),
    "nightferry.api._restore": ("restore",),
    "nightferry.api._routes": ("evenings_of",),
    "nightferry.api._service": (
        "Service",
        "UnitFile",
        "Units",
        "cron_line",
        "find_services",
        "service",
    ),
    "nightferry.api._solve": (
        "Solved",
        "solve",
        "solving_of",
    ),
    "nightferry.api._standardise": (
        "StandardisedFile",
        "Validated",
        "standardise",
        "validate",
    ),
    "nightferry.api._status": ("status",),
    "nightferry.assemble": (
        "Hands",
        "idle_hands",
        "open_ledger",
        "telescope_names",
    ),
    "nightferry.config": (
        "Config",
        "for_run",
        "load",
        "loads",
    ),
    "nightferry.core.alert": ("Letter",),
    "nightferry.core.audit": (
        "Finding",
        "Stranger",
        "Verdict",
    ),
    "nightferry.core.balance": (
        "Balance",
        "Bin",
    ),
    "nightferry.core.ledger": (
        "Account",
        "Ledger",
    ),
    "nightferry.core.overview": ("Overview",),
    "nightferry.cubes": (
        "LeftOut",
        "Plan",
    ),
    "nightferry.discover": ("Found",),
    "nightferry.monitor": (
        "Monitor",
        "monitored",
    ),
    "nightferry.passes.restore": ("Restored",),
    "nightferry.passes.run": (
        "Orders",
        "Pass",
    ),
    "nightferry.passes.watch": ("Watched",),
    "nightferry.solving.building": ("Order",),
    "nightferry.solving.indexes": ("Index",),
    "nightferry.solving.model": ("Answer", "SolveSettings"),
    "nightferry.steps.clear": ("Clearance",),
    "nightferry.steps.cube_files": (
        "CubeSettings",
        "Cubed",
    ),
}
#: Names that are others where they are at home.
_NAMED = {"SolveSettings": "Settings"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

#: The functions that do the work of each command, its main one first.
COMMANDS = {
    "init": ("init", "move_over", "write_moved"),
    "presets": ("presets", "preset"),
    "discover": ("discover",),
    "check": ("check",),
    "service": ("service", "cron_line"),
    "run": ("run", "run_each"),
    "retry": ("retry", "run_each"),
    "watch": ("watch", "watch_each"),
    "status": ("status",),
    "nights": ("nights", "cubes"),
    "night": ("night",),
    "why": ("why",),
    "held": ("held",),
    "release": ("release",),
    "clear": ("clear",),
    "audit": ("audit", "audit_each", "strangers"),
    "restore": ("restore",),
    "alerts": ("alerts", "send_alerts"),
    "standardise": ("standardise",),
    "solve": ("solve",),
    "validate": ("validate",),
    "cube": ("cube", "plan_cube", "split"),
    "demo": ("demo",),
    "ledger backup": ("ledger_backup",),
    "ledger check": ("ledger_check",),
    "index status": ("index_status",),
    "index build": ("index_build",),
    "index download": ("index_download", "index_offers"),
}
#: Names that moved, and what they are called now.
_MOVED = {"Vigil": "Monitor", "keep_vigil": "monitored"}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for."""
    if name in _MOVED:
        now = _MOVED[name]
        warnings.warn(f"nightferry.api.{name} is called {now} now", DeprecationWarning, stacklevel=2)
        name = now
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nightferry.api' has no attribute {name!r}")
    found: object = getattr(import_module(_HOME_OF[name]), _NAMED.get(name, name))
    return found


def __dir__() -> list[str]:
    return __all__

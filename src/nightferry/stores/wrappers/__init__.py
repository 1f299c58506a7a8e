"""Stores around stores: the same protocol, with one thing more."""

from nightferry.stores.wrappers.limited import limited
from nightferry.stores.wrappers.retried import retried
from nightferry.stores.wrappers.throttled import Throttle, Window, throttled

__all__ = ["Throttle", "Window", "limited", "retried", "throttled"]

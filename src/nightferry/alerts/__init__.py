"""Alerts: what is worth telling people, and telling them, whatever their mail server does."""

from nightferry.alerts.audits import AuditAlerts
from nightferry.alerts.conditions import Facts, Limits, NightFacts, conditions_of
from nightferry.alerts.digest import digest_of
from nightferry.alerts.judge import Rules, Situation, judge, over_evening
from nightferry.alerts.mailer import Mailer
from nightferry.alerts.ping import Pinger
from nightferry.alerts.sending import known_url, send

__all__ = [
    "AuditAlerts",
    "Facts",
    "Limits",
    "Mailer",
    "NightFacts",
    "Pinger",
    "Rules",
    "Situation",
    "conditions_of",
    "digest_of",
    "judge",
    "known_url",
    "over_evening",
    "send",
]

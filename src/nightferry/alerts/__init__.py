"""Alerts: what is worth telling people, and telling them, whatever their mail server does."""

from nightferry.alerts.conditions import Facts, Habits, NightFacts, conditions_of
from nightferry.alerts.digest import digest_of
from nightferry.alerts.mailer import Mailer
from nightferry.alerts.ping import Pinger
from nightferry.alerts.sending import known_url, send

__all__ = ["Facts", "Habits", "Mailer", "NightFacts", "Pinger", "conditions_of", "digest_of", "known_url", "send"]

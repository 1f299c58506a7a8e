"""The gate: which solutions are accepted. A false one costs more than a frame without."""

import math

from nightferry.solving.model import Fit, Hints, Stars

LEAST_MATCHES = 8
MOST_CHANCE = 1e-9
MOST_RMS = 1.0  # pixels, of the frame as it is


def judge(fit: Fit, stars: Stars, hints: Hints) -> str:
    """Say why a solution is not accepted; empty when it is."""
    if fit.matches.count < LEAST_MATCHES:
        return f"only {fit.matches.count} of {fit.expected} catalogue stars match; expected {LEAST_MATCHES} or more"
    if (odds := chance(fit, stars)) > MOST_CHANCE:
        return (
            f"{fit.matches.count} of {fit.expected} catalogue stars match {stars.count} stars with a chance of "
            f"{odds:.1e} to be luck; expected {MOST_CHANCE:.0e} or less"
        )
    if not fit.rms < MOST_RMS:
        return f"the matched stars scatter by {fit.rms:.2f} pixels; expected less than {MOST_RMS:g}"
    if hints.scale is not None and abs(fit.wcs.scale / hints.scale - 1) > hints.tolerance:
        told = f"{hints.scale:.4f} within {hints.tolerance:.0%}"
        return f"its scale is {fit.wcs.scale:.4f} arcsec per pixel; expected {told}"
    return ""


def chance(fit: Fit, stars: Stars) -> float:
    """Return how likely it is that this many catalogue stars meet a star of the frame by luck.

    Each of the frame's stars makes a circle of ``reach``; a catalogue star falls into one of them with the share of
    the frame that they cover. Parameters that were fitted can bring stars together: every two of them take a match
    off the account, and a catalogue star.
    """
    taken = math.ceil(fit.freedom / 2)
    count, most = fit.matches.count - taken, fit.expected - taken
    if count <= 0 or most <= 0:
        return 1.0
    share = min(1.0, stars.count * math.pi * fit.reach**2 / (stars.width * stars.height))
    return tail(most, min(count, most), share)


def tail(trials: int, least: int, share: float) -> float:
    """Return the chance of at least this many hits in a number of trials, each with the chance ``share`` (binomial)."""
    if least <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    logs = [
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        + k * math.log(share) + (trials - k) * math.log1p(-share)
        for k in range(least, trials + 1)
    ]  # fmt: skip
    highest = max(logs)
    return min(1.0, math.exp(highest) * sum(math.exp(value - highest) for value in logs))

"""Metrics for Prometheus: asked of the ledger when they are scraped, or written into a file for its node exporter."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nightferry.assemble import shelf_of
from nightferry.config import Config
from nightferry.core.balance import Balance, Bin
from nightferry.core.errors import Misconfigured, TryAgain
from nightferry.core.ledger import Ledger
from nightferry.core.night import Night

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

_SECOND = 1_000_000


class Collector:
    """Collects for Prometheus how things stand now, from the ledger alone."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self._config, self._ledger = config, ledger

    def collect(self) -> "Iterator[GaugeMetricFamily]":
        """Make all metrics."""
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - an optional extra

        def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"nightferry_{name}", text, labels=labels)

        frames = gauge("night_frames", "Frames of the newest night, by standing.", "telescope", "standing")
        night = gauge("night_timestamp_seconds", "The newest night: midnight UTC of its evening date.", "telescope")
        size = gauge("night_delivered_bytes", "Bytes delivered of the newest night.", "telescope")
        open_frames = gauge("open_frames", "Frames not at their end, of all nights.", "telescope", "standing")
        cubes = gauge("open_cubes", "Cubes that are held or failed, of all nights.", "telescope", "standing")
        whole = gauge("night_complete", "Whether the last look showed all of the newest night.", "telescope")
        up = gauge("telescope_up", "Whether the telescope answered when it was last asked.", "telescope")
        times = {
            "looked": gauge("last_look_timestamp_seconds", "When the telescope was last asked.", "telescope"),
            "reached": gauge("last_seen_timestamp_seconds", "When the telescope last answered.", "telescope"),
            "proven": gauge("last_proof_timestamp_seconds", "When a copy was last found right.", "telescope"),
        }
        for name in self._config.telescope:
            overview = self._ledger.overview(name, 1)
            contact = overview.contact
            up.add_metric([name], float(bool(contact.reached_us) and not contact.trouble))
            for key, at_us in (
                ("looked", contact.looked_us),
                ("reached", contact.reached_us),
                ("proven", contact.proven_us),
            ):
                times[key].add_metric([name], at_us / _SECOND)
            balance = overview.nights[0].balance if overview.nights else Balance(Night(name, date.min))
            if overview.nights:
                night.add_metric([name], _midnight(balance.night.date))
                size.add_metric([name], balance.bytes)
                whole.add_metric([name], float(balance.complete))
            for place in Bin:
                count = int(getattr(balance, place.value))
                frames.add_metric([name, place.value], count)
                if place in {Bin.HELD, Bin.FAILED, Bin.PENDING}:
                    open_frames.add_metric([name, place.value], count + overview.older.get(place, 0))
            for place in (Bin.HELD, Bin.FAILED):
                made = sum(line.products.counts.get(place, 0) for line in overview.nights)
                cubes.add_metric([name, place.value], made + overview.older_products.get(place, 0))
        yield from (frames, night, size, whole, open_frames, cubes, up, *times.values())
        standing = gauge("alerts_standing", "Alerts that were raised and are not over.")
        standing.add_metric([], len(self._ledger.outbox.standing()))
        yield standing
        yield from self._disk()

    def _disk(self) -> "Iterator[GaugeMetricFamily]":
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

        shelf = shelf_of(self._config)
        with suppress(OSError):  # a metric that is missing says that the disk does not answer
            place = next((one for one in (shelf.root, *shelf.root.parents) if one.exists()), shelf.root)
            free = shutil.disk_usage(place).free
            yield GaugeMetricFamily("nightferry_shelf_free_bytes", "Free on the shelf's disk.", free)
        yield GaugeMetricFamily("nightferry_shelf_floor_bytes", "What is to stay free there.", shelf.floor)
        yield GaugeMetricFamily("nightferry_metrics_timestamp_seconds", "When these were made.", time.time())


def write_metrics(config: Config, ledger: Ledger, path: Path) -> None:
    """Write the metrics into a file, as a whole.

    Raises `Misconfigured` without the extra, `TryAgain` when the file cannot be written.
    """
    _require()
    from prometheus_client import CollectorRegistry, write_to_textfile  # noqa: PLC0415

    registry = CollectorRegistry()
    registry.register(Collector(config, ledger))
    try:
        write_to_textfile(str(path), registry)
    except OSError as err:
        raise TryAgain(f"the metrics' file {path} cannot be written: {err}") from err


@contextmanager
def serve_metrics(config: Config, ledger: Ledger, listen: str) -> Iterator[int]:
    """Serve ``/metrics`` at HOST:PORT until the block ends; yields the port.

    Raises `Misconfigured` without the extra, or where the port is taken.
    """
    _require()
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(config, ledger))
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host, registry)
    except OSError as err:
        raise Misconfigured(f"metrics.listen {listen}: {err}; choose another port") from err
    try:
        yield int(server.server_port)
    finally:
        threading.Thread(target=server.shutdown, daemon=True).start()
        thread.join(5)
        server.server_close()


def _require() -> None:
    try:
        import prometheus_client  # noqa: F401, PLC0415
    except ImportError as err:
        raise Misconfigured("metrics need the extra; run: pip install 'nightferry[metrics]'") from err


def _midnight(evening: date) -> float:
    return datetime(evening.year, evening.month, evening.day, tzinfo=UTC).timestamp()

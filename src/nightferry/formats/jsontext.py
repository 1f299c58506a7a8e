"""JSON in flight: is a side file complete, and does it parse."""

import json

from nightferry.formats.findings import Report, Unsound, plain_text
from nightferry.formats.flow import Flow, Reading, refuse_empty

#: Longest JSON that is kept and parsed, in bytes; side files have a few thousand.
LONGEST_JSON = 16 * 1024 * 1024


def read_json(flow: Flow, report: Report) -> Reading[None]:
    """Read a JSON file whole and parse it; one that is too long for that is let pass with a warning."""
    yield from refuse_empty(flow)
    text = yield from flow.take(LONGEST_JSON)
    if longer := (yield from flow.rest()):
        report.warn(f"not parsed: {len(text) + longer:,} bytes of JSON are more than {LONGEST_JSON:,}")
        return
    try:
        json.loads(text)
    except RecursionError:
        raise Unsound("the JSON is nested too deeply to be a side file") from None
    except ValueError as err:
        raise Unsound(f"the JSON is broken or incomplete: {plain_text(str(err))}") from err

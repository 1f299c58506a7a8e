"""The rows of a listing, read out of the server's answer before the SDK looks at it.

The SDK turns every element of every row into an object by its model of S3, three quarters of which we throw away; it
took a listing longer than the server and we together. Here the three facts that count are taken, and the SDK reads the
rest of the answer, which is a few lines. What looks in any way odd is left to the SDK as it came.
"""

from collections.abc import MutableMapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree as ET

_OK = 200
_ANSWER, _ROWS = "ListBucketResult", "Contents"
_MARK, _HEAD = _ANSWER.encode(), 500


def take_rows(
    response_dict: MutableMapping[str, object], customized_response_dict: MutableMapping[str, object], **_: object
) -> None:
    """Take the rows out of an answer's body and give them as the SDK would (it calls this: ``before-parse``)."""
    body = response_dict.get("body")
    if response_dict.get("status_code") != _OK or not isinstance(body, bytes) or _MARK not in body[:_HEAD]:
        return
    try:
        answer = ET.fromstring(body)  # noqa: S314 - the SDK reads the same bytes with the same parser
        space = answer.tag[: answer.tag.find("}") + 1]
        if answer.tag != space + _ANSWER:
            return
        rows = [_row(element, space) for element in answer.iterfind(space + _ROWS)]
    except (ET.ParseError, ValueError):
        return
    if not rows:
        return
    answer[:] = [element for element in answer if element.tag != space + _ROWS]
    response_dict["body"] = ET.tostring(answer)
    customized_response_dict[_ROWS] = rows


def instant(said: object) -> datetime:
    """Read a time; the SDK's own way costs a listing more than all the rest of it. Raises `ValueError`."""
    text = str(said)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = parsedate_to_datetime(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _row(element: ET.Element, space: str) -> dict[str, object]:
    row: dict[str, object] = {"Key": element.findtext(space + "Key", "")}
    size, changed = element.findtext(space + "Size"), element.findtext(space + "LastModified")
    if size is not None:
        row["Size"] = int(size)
    if changed:
        row["LastModified"] = instant(changed)
    return row

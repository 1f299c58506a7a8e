"""The rows that are taken out of a listing before the SDK reads it, compared with what the SDK itself makes of it."""

from datetime import UTC, datetime

import botocore.session
import pytest

from nightferry.stores.s3.service import instant, take_rows

SPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
ROW = "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;x&quot;</ETag><Size>{}</Size></Contents>"


def answer(*rows: str, space: str = SPACE, root: str = "ListBucketResult") -> bytes:
    end = "<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;1</NextContinuationToken>"
    return f'<?xml version="1.0"?><{root}{space}><Name>n</Name>{"".join(rows)}{end}</{root}>'.encode()


def taken(body: bytes, status: int = 200) -> tuple[bytes, dict[str, object]]:
    response: dict[str, object] = {"status_code": status, "body": body, "headers": {}}
    rows: dict[str, object] = {}
    take_rows(response, rows)
    left = response["body"]
    assert isinstance(left, bytes)
    return left, rows


def by_the_sdk(body: bytes) -> dict[str, object]:
    session = botocore.session.get_session()
    model = session.get_service_model("s3").operation_model("ListObjectsV2")
    parser = session.get_component("response_parser_factory").create_parser("rest-xml")
    read: dict[str, object] = parser.parse({"status_code": 200, "body": body, "headers": {}}, model.output_shape)
    return read


@pytest.mark.parametrize("space", [SPACE, ""])
def test_rows_are_those_that_the_sdk_reads_and_the_rest_is_left_to_it(space: str) -> None:
    body = answer(
        ROW.format("a%20b.fits", "2026-09-11T22:45:50.000Z", 17),
        ROW.format("c&lt;d.fits", "2026-09-11T22:45:50Z", 0),
        space=space,
    )
    left, rows = taken(body)
    whole, rest = by_the_sdk(body), by_the_sdk(left)
    told = whole.pop("Contents")
    assert isinstance(told, list)
    assert rest == whole
    assert rows == {"Contents": [{name: row[name] for name in ("Key", "Size", "LastModified")} for row in told]}


@pytest.mark.parametrize(
    "body",
    [
        answer(),
        answer(ROW.format("a", "2026-09-11T22:45:50Z", 1))[:-30],
        answer(ROW.format("a", "2026-09-11T22:45:50Z", "many")),
        answer(ROW.format("a", "some day", 1)),
        answer(ROW.format("a", "2026-09-11T22:45:50Z", 1), root="Error"),
        b"",
    ],
)
def test_answer_that_is_odd_is_left_as_it_came(body: bytes) -> None:
    assert taken(body) == (body, {})


def test_refusal_is_left_as_it_came() -> None:
    body = answer(ROW.format("a", "2026-09-11T22:45:50Z", 1))
    assert taken(body, 503) == (body, {})


def test_row_without_a_size_or_a_time_is_told_without_them() -> None:
    _, rows = taken(answer("<Contents><Key>a</Key></Contents>"))
    assert rows == {"Contents": [{"Key": "a"}]}


def test_times_are_read_in_both_ways_that_servers_write() -> None:
    wanted = datetime(2026, 9, 11, 22, 45, 50, tzinfo=UTC)
    assert instant("2026-09-11T22:45:50Z") == instant("Fri, 11 Sep 2026 22:45:50 GMT") == wanted

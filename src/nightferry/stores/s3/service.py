"""One store's requests to its server: each with its time-outs, again after a pause when asked to, in our own errors.

The SDK (botocore) signs, speaks HTTP and reads the answers; none of its exceptions leaves this module.
"""

import random
import threading
import time
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar
from xml.etree import ElementTree as ET

from nightferry.core.errors import Misconfigured, NightferryError, Unreachable
from nightferry.stores.s3.bucket import S3Address
from nightferry.stores.s3.errors import Refusal, error_of, trouble_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.client import BaseClient

# -- the rows of a listing -------------------------------------------------------------------------------------------
# Read out of the server's answer before the SDK looks at it: the SDK turns every element of every row into an object by
# its model of S3, three quarters of which we throw away, which took a listing longer than the server and we together.
# Here the three facts that count are taken, and the SDK reads the rest of the answer, a few lines. What looks in any
# way odd is left to the SDK as it came.

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


# -- requests --------------------------------------------------------------------------------------------------------

T = TypeVar("T")
#: Pauses in seconds before a request is made again that the server was too busy for; each is stretched by chance, so
#: that many who were sent away do not come back together.
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
#: What may be asked for twice without a difference, when a connection is found to be lost at once (in seconds): the
#: server may have closed it while it rested.
_AT_ONCE = 0.5
_HARMLESS = {"get_object", "head_object", "head_bucket", "list_objects_v2", "list_multipart_uploads"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A success, as the SDK reads it."""

    fields: Mapping[str, object]

    def text(self, name: str) -> str:
        """Return a text of the answer; empty when it is not there."""
        found = self.fields.get(name)
        return found if isinstance(found, str) else ""

    def number(self, name: str) -> int | None:
        """Return a number of the answer."""
        found = self.fields.get(name)
        return found if isinstance(found, int) else None

    def rows(self, name: str) -> "list[Answer]":
        """Return a list of the answer."""
        found = self.fields.get(name)
        return [Answer(row) for row in found] if isinstance(found, list) else []

    def time_us(self, name: str) -> int | None:
        """Return a time of the answer in whole seconds, as microseconds since 1970 UTC: all that every answer tells."""
        found = self.fields.get(name)
        return int(found.timestamp()) * 1_000_000 if isinstance(found, datetime) else None

    @property
    def date(self) -> datetime:
        """The server's clock when it answered, or else ours."""
        headers = self._headers()
        try:
            return parsedate_to_datetime(headers.get("date", ""))
        except ValueError:
            return datetime.now(UTC)

    def _headers(self) -> Mapping[str, str]:
        told = self.fields.get("ResponseMetadata")
        headers = told.get("HTTPHeaders") if isinstance(told, dict) else None
        return headers if isinstance(headers, dict) else {}


class Service:
    """The server of one store, and a crew that asks for several things at once."""

    def __init__(self, address: S3Address) -> None:
        self.address = address
        self.label = address.label
        self._lock = threading.Lock()
        self._client: BaseClient | None = None
        self._crew: ThreadPoolExecutor | None = None

    def ask(self, operation: str, what: str, /, *expected: int, **wanted: object) -> Answer | Refusal:
        """Ask for one thing in the bucket; answers a refusal whose status is ``expected``, and raises any other.

        ``what`` says in messages what was asked for. Raises what `error_of` makes of it.
        """
        again = operation in _HARMLESS
        pauses = list(PAUSES)
        while True:
            began = time.monotonic()
            try:
                answer = self._ask(operation, what, wanted)
            except Unreachable:
                if not again or time.monotonic() - began > _AT_ONCE:
                    raise
                again = False
                continue
            if isinstance(answer, Answer) or answer.status in expected:
                return answer
            if not answer.passing or not pauses:
                raise error_of(answer, what, self.address)
            pause = min(max(pauses.pop(0) * random.uniform(0.5, 1.5), answer.pause), self.address.timeout)  # noqa: S311 - chance, not secrecy
            time.sleep(pause)

    def need(self, operation: str, what: str, /, **wanted: object) -> Answer:
        """Ask for one thing in the bucket, and have it or raise."""
        answer = self.ask(operation, what, **wanted)
        assert isinstance(answer, Answer)  # noqa: S101 - nothing else was expected
        return answer

    def need_bucket(self) -> None:
        """Raise `Misconfigured` when the bucket itself is not there: a missing object is told the same way."""
        answer = self.ask("head_bucket", "looking for the bucket", 404)
        if isinstance(answer, Refusal):
            raise error_of(Refusal(404, "NoSuchBucket", "", {}), "", self.address)

    @contextmanager
    def translated(self, what: str) -> "Iterator[None]":
        """Turn the SDK's exceptions into ours, around the reading of a body."""
        import botocore.exceptions  # noqa: PLC0415 - loaded only where S3 is used
        import urllib3.exceptions  # noqa: PLC0415 - botocore's own HTTP, whose exceptions it lets through

        try:
            yield
        except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, OSError) as err:
            raise trouble_of(err, what, self.address) from err

    def beside(self, call: Callable[[], T]) -> "Future[T]":
        """Make a call beside others; never more at once than the store may have connections."""
        with self._lock:
            if self._crew is None:
                self._crew = ThreadPoolExecutor(self.address.connections, thread_name_prefix="nightferry-s3")
            return self._crew.submit(call)

    def close(self) -> None:
        """Let go of all connections; the next request makes new ones."""
        with self._lock:
            client, self._client = self._client, None
            crew, self._crew = self._crew, None
        if crew is not None:
            crew.shutdown()
        if client is not None:
            client.close()

    def _ask(self, operation: str, what: str, wanted: Mapping[str, object]) -> Answer | Refusal:
        client = self._connected()
        import botocore.exceptions as sdk  # noqa: PLC0415 - loaded only where S3 is used
        from botocore.parsers import ResponseParserError  # noqa: PLC0415

        try:
            return Answer(getattr(client, operation)(Bucket=self.address.bucket, **wanted))
        except sdk.ClientError as err:
            return _refusal(err.response)
        except (sdk.BotoCoreError, ResponseParserError, OSError) as err:
            raise trouble_of(err, what, self.address) from err

    def _connected(self) -> "BaseClient":
        with self._lock:
            if self._client is None:
                self._client = _client(self.address)
            return self._client


def _refusal(response: Mapping[str, object]) -> Refusal:
    told, error = response.get("ResponseMetadata"), response.get("Error")
    told = told if isinstance(told, dict) else {}
    error = error if isinstance(error, dict) else {}
    status, headers = told.get("HTTPStatusCode"), told.get("HTTPHeaders")
    code = str(error.get("Code", ""))
    return Refusal(
        status if isinstance(status, int) else 0,
        code,
        str(error.get("Message", "")),
        headers if isinstance(headers, dict) else {},
    )


def _client(address: S3Address) -> "BaseClient":
    try:
        import botocore.exceptions  # noqa: PLC0415 - an optional extra
        import botocore.session  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
    except ImportError as err:
        raise Misconfigured(f"{address.label}: needs the extra; run: pip install 'nightferry[s3]'") from err
    if not address.verify_tls:  # the operator said so, and need not be told with every request
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    try:
        session = botocore.session.get_session()
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=instant)
        region = address.region or session.get_config_variable("region") or "us-east-1"
        client: BaseClient = session.create_client(
            "s3",
            region_name=region,
            endpoint_url=address.endpoint,
            aws_access_key_id=address.user or None,
            aws_secret_access_key=address.secret,
            verify=(str(address.ca) if address.ca else True) if address.verify_tls else False,
            config=Config(
                connect_timeout=address.timeout,
                read_timeout=address.timeout,
                retries={"total_max_attempts": 1},  # `Service.ask` decides what is asked again
                max_pool_connections=2 * address.connections + 2,
                request_checksum_calculation="when_required",  # what we send has checksums of ours
                response_checksum_validation="when_supported",
                s3={"addressing_style": "path" if address.endpoint else "auto"},
                user_agent_extra="nightferry",
            ),
        )
        client.meta.events.register_first("before-parse.s3.*", take_rows)  # before others read the whole body
    except (botocore.exceptions.BotoCoreError, ValueError, OSError) as err:
        raise trouble_of(err, "connecting", address) from err
    return client


def raised(call: Callable[[], T]) -> T | NightferryError:
    """Return what a call answers, or the error that it raises."""
    try:
        return call()
    except NightferryError as err:
        return err

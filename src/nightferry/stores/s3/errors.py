"""What S3 servers and the SDK complain about, as the error of who must act."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time

from nightferry.core.display import display
from nightferry.core.errors import Held, Misconfigured, NightferryError, NoSpace, TryAgain, Unreachable
from nightferry.stores.s3.bucket import S3Address

_SHOWN = 300
#: The server is there and asks us to come again later, whatever we asked for.
_SLOW = {
    "SlowDown",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
}
_SLOW_STATUS = {429, 503}
_HICCUPS = {500, 502, 504}
_WHO = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "TokenRefreshRequired",
    "InvalidSecurity", "NotSignedUp", "AccountProblem", "CredentialsNotSupported", "InvalidClientTokenId",
}  # fmt: skip
_DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
#: What servers answer, with a 400, to headers that they do not know.
UNSURE_REFUSALS = {"", "400", "InvalidArgument", "InvalidRequest", "NotImplemented", "BadRequest", "UnsupportedHeader"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "InsufficientStorage", "EntityTooLarge"}
_NAMES = {"KeyTooLongError", "InvalidObjectName", "XMinioInvalidObjectName", "InvalidURI", "InvalidKey"}
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}
_NO_LOGIN = {
    "CredentialRetrievalError",
    "SSOError",
    "TokenRetrievalError",
    "LoginError",
    "RefreshWithMFAUnsupportedError",
}
_OWN_SETTINGS = {"ProfileNotFound", "ConfigParseError", "ConfigNotFound", "InvalidConfigError"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no success: HTTP status, S3's code, its words and headers (names in lower case)."""

    status: int
    code: str
    words: str
    headers: Mapping[str, str]

    @property
    def slow(self) -> bool:
        """Whether the server asks us to come again later."""
        return self.code in _SLOW or self.status in _SLOW_STATUS

    @property
    def passing(self) -> bool:
        """Whether asking again soon may help."""
        return self.slow or self.status in _HICCUPS

    @property
    def pause(self) -> float:
        """How many seconds the server wants us to wait; 0 when it does not say."""
        said = self.headers.get("retry-after", "")
        return float(said) if said.isdecimal() else 0.0

    def __str__(self) -> str:
        """Show it in a message."""
        return display(f"{self.code or self.status}: {self.words}" if self.words else self.code or str(self.status))[
            :_SHOWN
        ]


def error_of(refusal: Refusal, what: str, address: S3Address) -> NightferryError:  # noqa: C901 - a table with conditions
    """Return the error that a refusal means; ``what`` says what was asked for."""
    where, code, status = f"{address.label}: {what}", refusal.code, refusal.status
    if refusal.slow:
        return Unreachable(f"{where}: the server asks us to slow down ({refusal}); it is tried again later")
    if code == "NoSuchBucket":
        return Misconfigured(
            f"{address.label}: there is no bucket {address.bucket!a} at {address.endpoint or 'Amazon'}; create it, or "
            "correct the URL (or 'endpoint')"
        )
    if code in _WHO:
        return Misconfigured(
            f"{address.label}: the server does not accept our access key ({refusal}); check 'user' and 'secret', or "
            "what the environment and ~/.aws hold"
        )
    if code in _SKEWED:
        return Misconfigured(f"{address.label}: this machine's clock {_skew(refusal)}; set it (or switch NTP on)")
    if code in _REGION or status == 301:  # noqa: PLR2004 - HTTP
        right = refusal.headers.get("x-amz-bucket-region", "")
        return Misconfigured(
            f"{address.label}: the bucket is not in the region {address.region or 'that the SDK takes'!a}"
            f"{f', but in {right!a}' if right else ''} ({refusal}); set 'region' to the right one"
        )
    if code in _DAMAGED:
        return TryAgain(
            f"{where}: the bytes were damaged on the way, as the server found ({refusal}); tried again later"
        )
    if code in _FULL or status == 507:  # noqa: PLR2004 - HTTP
        return NoSpace(f"{where}: the server has no room for it ({refusal}); free some space there or raise the quota")
    if code in _NAMES:
        return Held(f"{where}: the server does not take this name ({refusal}); mend the name template")
    if code == "InvalidObjectState":
        return Held(f"{where}: the object lies in cold storage ({refusal}); restore it there, then release the frame")
    if code in {"AccessDenied", "AllAccessDisabled"} or status in {401, 403}:
        return Misconfigured(
            f"{where}: access is denied ({refusal}); our key needs s3:ListBucket, s3:GetObject, s3:PutObject, "
            "s3:AbortMultipartUpload, and s3:DeleteObject to clear, on this bucket and prefix"
        )
    if status == 501:  # noqa: PLR2004 - HTTP
        return Misconfigured(f"{where}: the server does not offer that ({refusal}); use another server or store")
    return TryAgain(f"{where} failed ({refusal}); it is tried again later")


def _skew(refusal: Refusal) -> str:
    try:
        theirs = parsedate_to_datetime(refusal.headers.get("date", "")).timestamp()
    except ValueError:
        return f"is too far off the server's ({refusal})"
    off = time() - theirs
    return f"is {abs(off):,.0f} s {'ahead of' if off > 0 else 'behind'} the server's, too far for it ({refusal})"


def trouble_of(err: Exception, what: str, address: S3Address) -> NightferryError:
    """Return the error that an exception of the SDK means, other than a server's refusal.

    The SDK's exceptions are told apart by name, because each of its versions brings new ones.
    """
    kinds = {kind.__name__ for kind in type(err).__mro__}
    where, words = f"{address.label}: {what}", display(str(err))[:_SHOWN]
    if kinds & {"NoCredentialsError", "PartialCredentialsError"}:
        return Misconfigured(
            f"{address.label}: there is no access key: give 'user' and 'secret', or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or run `aws configure`"
        )
    if kinds & _NO_LOGIN:
        return Misconfigured(f"{address.label}: no access key could be had ({words}); log in anew (`aws sso login`)")
    if kinds & _OWN_SETTINGS:
        return Misconfigured(f"{address.label}: the settings of the SDK cannot be used ({words}); mend ~/.aws/config")
    if kinds & {"ParamValidationError", "ValidationError", "ValueError"}:
        return Misconfigured(f"{where}: {words}; correct 'url', 'endpoint' or 'region'")
    if "SSLError" in kinds and "CERTIFICATE_VERIFY_FAILED" in str(err):
        return Misconfigured(
            f"{address.label}: the server's certificate is refused ({_certificate(str(err))}); have it renewed, name "
            "the CA that signed it ('ca'), or the host as the certificate names it"
        )
    if "FlexibleChecksumError" in kinds:
        return TryAgain(f"{where}: the bytes were damaged on the way ({words}); tried again later")
    if kinds & {"IncompleteReadError", "ResponseStreamingError", "ProtocolError"}:
        return TryAgain(f"{where} ended early ({words}); tried again later")
    if "ResponseParserError" in kinds:
        return Unreachable(
            f"{where}: what answers is no S3 server ({words}); correct 'endpoint', or log in to the network you are in"
        )
    if kinds & {"HTTPClientError", "ConnectionError", "HTTPError", "OSError"}:
        return Unreachable(f"{where}: no answer ({words}); it is tried again later")
    return TryAgain(f"{where} failed ({type(err).__name__}: {words}); it is tried again later")


def _certificate(words: str) -> str:
    _, _, reason = words.partition("certificate verify failed: ")
    return display(reason.rstrip(")").partition(" (_ssl")[0] or words)[:_SHOWN]

"""What ``ssh`` complains about, as the error of who must act."""

import re

from nightferry.core.display import display
from nightferry.core.errors import Misconfigured, NightferryError, Unreachable
from nightferry.stores.sftp.address import SftpAddress
from nightferry.stores.sftp.keys import UnknownHost, host_keys

_FINGERPRINT = re.compile(r"(?:SHA256|MD5):[0-9A-Za-z+/:]+")
_UNKNOWN = re.compile(r"host key is known for|Host key verification failed|authenticity of host", re.IGNORECASE)
_REFUSED = re.compile(r"Permission denied \(|Too many authentication failures|No more authentication methods")
_OURS = re.compile(
    r"Bad configuration option|bad configuration options|Bad owner or permissions|no argument after keyword|"
    r"extra arguments at end|Can't open user config file|command-line: line 0|unknown option|illegal option"
)
_STRANGERS = re.compile(r"Unable to negotiate|no matching .* found")
_SPOILED_KEY = re.compile(r"Load key .*|UNPROTECTED PRIVATE KEY FILE|Identity file .* not accessible.*")
_SHOWN = 500


def complaint(said: str, address: SftpAddress) -> NightferryError:
    """Tell what the last words of an ``ssh`` that ended mean; ``said`` is its stderr."""
    label = address.label
    words = shown(said)
    kept = str(address.known_hosts) if address.known_hosts is not None else "~/.ssh/known_hosts"
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        found = _FINGERPRINT.search(said)
        return Misconfigured(
            f"{label}: the host's key is not the one that is known in {kept}: the server now shows "
            f"{found[0] if found else 'another one'}. Somebody may be listening in, or the server was set up anew. "
            f"Ask whoever runs it; if that is its new key, take the old one away with "
            f"`ssh-keygen -R '{address.known_as}' -f {kept}` and add the new one"
        )
    if "revoked" in said and "key" in said.lower():
        return Misconfigured(f"{label}: the host's key was revoked, so it is not trusted ({words})")
    if _UNKNOWN.search(said):
        return UnknownHost(_unknown(address, kept, words), address)
    if _REFUSED.search(said):
        return Misconfigured(_refused(said, address, words))
    if "subsystem request failed" in said:
        return Misconfigured(f"{label}: the server lets us in but offers no SFTP; switch its sftp subsystem on")
    if _STRANGERS.search(said):
        return Misconfigured(
            f"{label}: ssh and the server have no method in common ({words}); update the older one, or allow the "
            "method in ~/.ssh/config"
        )
    if _OURS.search(said):
        return Misconfigured(f"{label}: ssh does not take its settings ({words}); mend ~/.ssh/config")
    return Unreachable(f"{label}: no connection ({words or 'ssh ended without a word'}); it is tried again later")


def shown(said: str) -> str:
    """Make the last of what ``ssh`` said fit into a message."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("@@@")]
    return display("; ".join(lines))[-_SHOWN:]


def _unknown(address: SftpAddress, kept: str, words: str) -> str:
    keys = host_keys(address.host, address.port, timeout=min(address.timeout, 5.0))
    shows = ", ".join(f"{key.kind} {key.fingerprint}" for key in keys)
    said = f"it shows {shows}" if shows else words
    return (
        f"{address.label}: the host's key is not known, and unknown hosts are not trusted: {said}. Compare that with "
        f"what whoever runs the server tells you; if it is the same, add it to {kept} with "
        f"`ssh-keyscan{'' if address.port in {None, 22} else f' -p {address.port}'} {address.host} >> {kept}`"
    )


def _refused(said: str, address: SftpAddress, words: str) -> str:
    who = f"the login of {address.user!a}" if address.user else "our login"
    with_what = (
        f"with the key {address.key}" if address.key else "by password" if address.password else "with the user's keys"
    )
    spoiled = _SPOILED_KEY.search(said)
    if spoiled:
        return (
            f"{address.label}: the key {address.key} cannot be used ({words}); it must be an OpenSSH private key "
            "that only its owner may read and that has no passphrase (or is in the agent)"
        )
    return (
        f"{address.label}: the server refuses {who} {with_what} ({words}); check user and secret, and that the public "
        "key is in the account's authorized_keys. A key with a passphrase must be in the agent"
    )

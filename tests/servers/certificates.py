"""Certificates that sign themselves, for the servers of tests."""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.servers.programs import run_tool


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for 127.0.0.1 and localhost, which is its own authority, and its private key."""

    certificate: Path
    key: Path


def certificate(folder: Path, *, host: str = "localhost", address: str = "127.0.0.1", days: int = 2) -> Certificate:
    """Make a certificate that signs itself, good for a host, an address and some days (below 0: expired)."""
    made = Certificate(folder / "server.pem", folder / "server.key")
    names = f"subjectAltName=DNS:{host},IP:{address}"
    until = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86400))
    since = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - 30 * 86400))
    request = folder / "server.csr"
    run_tool(
        "openssl",
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        f"{made.key}",
        "-out",
        f"{request}",
        "-subj",
        f"/CN={host}",
    )
    authority = folder / "authority"
    authority.mkdir(exist_ok=True)
    (authority / "index.txt").write_text("")
    (authority / "serial").write_text("01\n")
    settings = authority / "ca.cnf"
    settings.write_text(
        f"[ca]\ndefault_ca=self\n[self]\ndir={authority}\ndatabase={authority}/index.txt\nserial={authority}/serial\n"
        f"new_certs_dir={authority}\ndefault_md=sha256\npolicy=any\nx509_extensions=server\n[any]\ncommonName=supplied\n"
        f"[server]\nbasicConstraints=critical,CA:true\n{names}\n"
    )
    run_tool(
        *(
            "openssl",
            "ca",
            "-batch",
            "-selfsign",
            "-config",
            f"{settings}",
            "-keyfile",
            f"{made.key}",
            "-in",
            f"{request}",
        ),
        *("-out", f"{made.certificate}", "-startdate", since, "-enddate", until, "-notext"),
    )
    return made

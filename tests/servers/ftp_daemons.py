"""Real FTP servers on loopback, for tests and measurements: vsftpd, proftpd and pure-ftpd as their makers ship them.

``scripts/ftp-servers.sh`` gets them. Each launcher serves one folder to one login until its ``with`` block ends.
"""

import contextlib
import getpass
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.servers.certificates import Certificate
from tests.servers.programs import find_program, free_port, libraries_of, run_tool

_WORD = "NIGHTFERRY_FTPD_PASSWORD"
#: The login that proftpd, pure-ftpd and pyftpdlib know; vsftpd wants ``anonymous`` with the same password.
USER = "observer"
#: Drawn anew by every process, for others on this machine can reach loopback, too.
PASSWORD = os.environ.get(_WORD) or secrets.token_hex(12)
_PATIENCE = 120.0


def _hashed() -> str:
    return run_tool("openssl", "passwd", "-6", "-stdin", given=PASSWORD).strip()


def _as_root(command: list[str]) -> list[str]:
    """Let who is not root start a server that insists on root: in a name space of its own, under fakeroot."""
    if os.getuid() == 0:
        return command
    # With the name space ends all that runs in it: fakeroot's daemon survives a fakeroot that is killed.
    fakeroot = Path(_program("fakeroot-tcp", "bin"))
    (library,) = fakeroot.parents[1].glob("lib/*/libfakeroot/libfakeroot-tcp.so")
    faked = fakeroot.with_name("faked-tcp")
    name_space = ["unshare", "--map-current-user", "--keep-caps", "--pid", "--fork", "--kill-child"]
    return [*name_space, f"{fakeroot}", "--lib", f"{library}", "--faked", f"{faked}", *command]


@contextlib.contextmanager
def pyftpdlib(folder: Path) -> Iterator[int]:
    """Serve a folder to `USER` with pyftpdlib, and give its port; it has MLSD."""
    port = free_port()
    options = ["-i", "127.0.0.1", "-p", f"{port}", "-w", "-d", f"{folder}", "-u", USER, "-P"]
    program = f"import os; from pyftpdlib.__main__ import main; main({options!r} + [os.environ['{_WORD}']])"
    command = [sys.executable, "-W", "ignore", "-c", program]
    with _workshop() as shop, _running(command, port, shop):
        yield port


@contextlib.contextmanager
def vsftpd(folder: Path, *, tls: Certificate | None = None, settings: Mapping[str, str] | None = None) -> Iterator[int]:
    """Serve a folder to ``anonymous`` (with `PASSWORD`) with vsftpd; with TLS it insists on session reuse.

    Gives its port. It has no MLSD. Started by root it serves nothing but the folder, which must not be writable
    for all, as another user, who can write where all can: make subfolders for that. Started by anybody else it
    cannot change its root: a login starts in the folder, but can leave it.
    """
    rooted = os.getuid() == 0
    port = free_port()
    with _workshop() as shop:
        (shop / "word").write_text(f"{PASSWORD}\n")
        lines = {
            "listen": "YES",
            "listen_address": "127.0.0.1",
            "listen_port": f"{port}",
            "background": "NO",
            "anonymous_enable": "YES",
            "secure_email_list_enable": "YES",
            "email_password_file": f"{shop}/word",
            "local_enable": "NO",
            "anon_root": f"{folder}",
            "write_enable": "YES",
            "anon_upload_enable": "YES",
            "anon_mkdir_write_enable": "YES",
            "anon_other_write_enable": "YES",
            "anon_umask": "022",
            "anon_world_readable_only": "NO",
            "run_as_launching_user": "NO" if rooted else "YES",
            "secure_chroot_dir": f"{shop}",
            "seccomp_sandbox": "NO",
            "xferlog_enable": "NO",
            "connect_from_port_20": "NO",
            "max_per_ip": "0",
            "ftp_username": _plain_user() if rooted else getpass.getuser(),
        }
        if tls is not None:
            lines |= {
                "ssl_enable": "YES",
                "allow_anon_ssl": "YES",
                "force_anon_logins_ssl": "YES",
                "force_anon_data_ssl": "YES",
                "require_ssl_reuse": "YES",
                "ssl_ciphers": "HIGH",
                "rsa_cert_file": f"{tls.certificate}",
                "rsa_private_key_file": f"{tls.key}",
            }
        text = "".join(f"{key}={value}\n" for key, value in {**lines, **(settings or {})}.items())
        configuration = shop / "vsftpd.conf"
        configuration.write_text(text)
        with _running([_program("vsftpd"), f"{configuration}"], port, shop):
            yield port


@contextlib.contextmanager
def proftpd(folder: Path, *, tls: Certificate | None = None, lines: tuple[str, ...] = ()) -> Iterator[int]:
    """Serve a folder to `USER` with proftpd, and give its port; it has MLSD, and with TLS insists on session reuse."""
    port = free_port()
    with _workshop() as shop:
        passwords = shop / "passwd"
        passwords.write_text(f"{USER}:{_hashed()}:{os.getuid()}:{os.getgid()}::{folder}:/bin/sh\n")
        passwords.chmod(0o600)
        program = _program("proftpd")
        modules = Path(program).parents[1] / "lib/proftpd"
        # since proftpd 1.3.9 even what every server needs is a module to load, if it is there
        needed = [name for name in ("mod_xfer", "mod_ls", "mod_delay") if (modules / f"{name}.so").exists()]
        text = [
            *(f"ModulePath {modules}", *(f"LoadModule {name}.c" for name in needed)),
            *("ServerType standalone", f"Port {port}", "DefaultAddress 127.0.0.1", "SocketBindTight on"),
            *("UseReverseDNS off", "RequireValidShell off", "RootLogin on", "AllowOverwrite on", "WtmpLog off"),
            *("AuthOrder mod_auth_file.c", f"AuthUserFile {passwords}", "Umask 022", "MultilineRFC2228 on"),
            *(f"User {getpass.getuser()}", "TimesGMT on", "AllowStoreRestart on", f"DefaultRoot {folder}"),
            *(f"PidFile {shop}/pid", f"ScoreboardFile {shop}/scores", f"SystemLog {shop}/log", "TransferLog none"),
            *(f"DelayTable {shop}/delay", "DelayEngine off", "MaxInstances 60"),
        ]
        if tls is not None:
            text += [
                *("LoadModule mod_tls.c", "TLSEngine on", "TLSRequired on"),
                *(f"TLSRSACertificateFile {tls.certificate}", f"TLSRSACertificateKeyFile {tls.key}"),
                *(f"TLSLog {shop}/tls", "TLSVerifyClient off"),
            ]
        configuration = shop / "proftpd.conf"
        configuration.write_text("\n".join([*text, *lines]) + "\n")
        with _running([program, "--nodaemon", "--config", f"{configuration}"], port, shop, as_root=True):
            yield port


@contextlib.contextmanager
def pure_ftpd(folder: Path, *, tls: Certificate | None = None, options: tuple[str, ...] = ()) -> Iterator[int]:
    """Serve a folder to `USER` with pure-ftpd, and give its port; it has MLSD.

    Started by root it moves files as another user, who can write where all can.
    """
    port = free_port()
    with _workshop() as shop:
        users = shop / "users"
        nobody = "65534:65534" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"
        users.write_text(f"{USER}:{_hashed()}:{nobody}::{folder}/./{12 * ':'}\n")
        run_tool(_program("pure-pw", "bin"), "mkdb", f"{users}.pdb", "-f", f"{users}")
        secure: tuple[str, ...] = ()
        if tls is not None:
            both = shop / "both.pem"
            both.write_text(tls.key.read_text() + tls.certificate.read_text())
            secure = ("--tls", "3", "--certfile", f"{both}")
        command = [
            *(_program("pure-ftpd"), "--bind", f"127.0.0.1,{port}", "--login", f"puredb:{users}.pdb"),
            *("--pidfile", f"{shop}/pid", "--minuid", "1", "--dontresolve", "--noanonymous", "--displaydotfiles"),
            *("--allowdotfiles", "--umask", "022:022", "--maxclientsperip", "50", "--limitrecursion", "200000:50"),
            *secure,
            *options,
        ]
        with _running(command, port, shop, as_root=True):
            yield port


def _program(name: str, folder: str = "sbin") -> str:
    return find_program(f"usr/{folder}/{name}", "ftp-servers", "ftp-servers.sh")


def _plain_user() -> str:
    """Name a user without rights whose home is there, for vsftpd looks in before it goes elsewhere."""
    known = {user.pw_name: user.pw_dir for user in pwd.getpwall()}
    return next(name for name in ("ftp", "daemon", "bin", "nobody") if Path(known.get(name, "/nonexistent")).is_dir())


@contextlib.contextmanager
def _workshop() -> Iterator[Path]:
    """Make a folder for a server's own files."""
    with tempfile.TemporaryDirectory(prefix="nightferry-ftpd-") as name:
        yield Path(name)


@contextlib.contextmanager
def _running(command: list[str], port: int, shop: Path, *, as_root: bool = False) -> Iterator[None]:
    """Run a server until the block ends, and with it all its children."""
    environment = {**os.environ, **libraries_of(command[0]), _WORD: PASSWORD}
    if as_root:
        command = _as_root(command)
    with (shop / "output").open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
        try:
            _await(process, port, shop)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _await(process: "subprocess.Popen[bytes]", port: int, shop: Path) -> None:
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    said = (shop / "output").read_text(errors="replace")
    raise RuntimeError(f"{process.args!r} did not start: {said}")

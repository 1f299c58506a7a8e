"""FTP and FTPS: an engine of our own on sockets and the standard library's TLS."""

from nightferry.stores.ftp.store import FtpStore
from nightferry.stores.ftp.wire import FtpAddress

__all__ = ["FtpAddress", "FtpStore"]

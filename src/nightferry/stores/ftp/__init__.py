"""FTP and FTPS: an engine of our own on sockets and the standard library's TLS."""

from nightferry.stores.ftp.address import FtpAddress
from nightferry.stores.ftp.store import FtpStore

__all__ = ["FtpAddress", "FtpStore"]

"""The SMB store: our own SMB 2 and 3, to shares of Windows and Samba (extra ``nightferry[smb]``)."""

from nightferry.stores.smb.link import SmbAddress, share_of
from nightferry.stores.smb.store import SmbStore

__all__ = ["SmbAddress", "SmbStore", "share_of"]

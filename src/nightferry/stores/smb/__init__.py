"""The SMB store: our own SMB 2 and 3, to shares of Windows and Samba (extra ``nightferry[smb]``)."""

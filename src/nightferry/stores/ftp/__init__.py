"""FTP and FTPS: an engine of our own on sockets and the standard library's TLS."""

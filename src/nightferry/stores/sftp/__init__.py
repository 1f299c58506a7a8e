"""The SFTP store: our own SFTP over OpenSSH's ``ssh``, which does the cryptography, the keys and the way."""

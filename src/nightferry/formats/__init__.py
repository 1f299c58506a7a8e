"""File structure on the byte level: bytes in, findings out."""

"""Places that hold files, one module a protocol; all pass `nightferry.testing.conformance`."""

"""Places that hold files, a module or a package for each protocol; all pass `nightferry.testing.conformance`."""

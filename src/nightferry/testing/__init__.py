"""Shipped for those who extend nightferry: conformance suites and a simulated telescope."""

"""Shipped for those who extend nightferry: conformance suites, misbehaving servers, a simulated telescope."""

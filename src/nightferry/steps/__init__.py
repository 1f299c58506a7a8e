"""The stages of a route, one module each."""

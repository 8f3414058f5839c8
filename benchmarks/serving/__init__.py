"""Benchmarks of served models: speed of the signatures, a server under load."""

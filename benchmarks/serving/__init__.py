"""Benchmarks of served models."""

"""Measurements against named peers; `results.md` is generated, not edited."""

"""The stages of a distributed run: pure functions from shards to shards."""

"""Benchmarks of corpus, corruption, training step and fine-tuning."""

"""Benchmarks of clustering, selection and the label loop."""

"""Evaluation: the metrics, readers and runs that reproduce the published tables."""

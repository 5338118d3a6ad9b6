"""Video: file -> probe -> sampled frames with true timestamps, decoded in a process of their own."""

from .sampling import LIMITS, SUFFIXES, Limits, middle_indices, probe, sample

__all__ = ["LIMITS", "SUFFIXES", "Limits", "middle_indices", "probe", "sample"]

"""Qwen3-VL, and what was fine-tuned from it (TimeLens, TimeLens2): transformers' own network behind the seam."""

"""Grounded-VideoLLM: an image tower, a video tower and a language model that writes time in tokens of its own."""

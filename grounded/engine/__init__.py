"""The engine: a model that watches videos, and an encoded video, asked often."""

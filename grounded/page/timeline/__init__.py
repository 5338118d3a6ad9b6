"""What the page draws itself: components that show what people and models write, as text alone."""

from .components import Gallery, Reply, Results, Timeline

__all__ = ["Gallery", "Reply", "Results", "Timeline"]

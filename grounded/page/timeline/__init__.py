"""What the page draws itself: components that show what people and models write, as text alone."""

from .components import KEPT, OWN, Gallery, Reply, Results, Timeline

__all__ = ["KEPT", "OWN", "Gallery", "Reply", "Results", "Timeline"]

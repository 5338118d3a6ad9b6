"""The timeline and the replies of the page: components that draw what people and models write, as text alone."""

from .components import Reply, Timeline

__all__ = ["Reply", "Timeline"]

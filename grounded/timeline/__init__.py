"""The timeline and the replies of the page: components that draw plain data, never a template, from what people write."""

from .components import Reply, Timeline

__all__ = ["Reply", "Timeline"]

"""The Space behind its page: the endpoints of the API, and what a visit does."""

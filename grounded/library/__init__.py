"""The library: many films, watched once, asked together: which video, and when."""

"""Making questions whose answer comes with the moment that proves it, from timed captions and a language model."""

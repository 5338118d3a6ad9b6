"""An independent benchmark of the embedded model: films in another hand, disturbed films, foreign videos, other words.

Nothing here is ever used in training or to choose a setting of it.
"""

"""Training: the three stages, the data of the released annotation format, and the run that turns one into weights."""

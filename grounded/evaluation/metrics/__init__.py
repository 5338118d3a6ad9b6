"""The metrics: numbers in, numbers out; each module names its source and its conventions."""

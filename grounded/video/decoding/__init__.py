"""What runs in the decoding process, and only there.

A hostile file may make a decoder hang, crash or eat memory: it takes down this process alone. It starts in a tenth of
a second because it imports numpy, PyAV and, when asked for, decord, but nothing of `grounded`: imports are relative.
"""

"""One tree of errors: every failure that the library expects has a class here and a sentence that names the value."""

_LONGEST_LINE = 600  # characters of a line of a message


class GroundedError(Exception):
    """Base of all errors that this library raises on purpose.

    A line of its message that is too long to be read, since it quotes a name or a file, loses its middle.
    """

    def __str__(self) -> str:
        lines = super().__str__().splitlines(keepends=True)
        return "".join(line if len(line) <= _LONGEST_LINE else f"{line[:400]} … {line[-150:]}" for line in lines)


class VideoError(GroundedError):
    """A file cannot be read as a video: missing, not a video, damaged, too long, too large, or decoding timed out."""


class TimeError(GroundedError, ValueError):
    """A time lies outside the video, a range is reversed, or a temporal token does not exist."""


class QuestionError(GroundedError, ValueError):
    """A question, query or option is empty, too long, or holds what no prompt can carry."""


class ConfigError(GroundedError, ValueError):
    """A model configuration contradicts itself, or a setting has an unknown value."""


class WeightsError(GroundedError):
    """Weights cannot be found, fetched, converted or loaded: misfit names or shapes, no space, offline, gated."""


class DataError(GroundedError, ValueError):
    """An annotation, prediction or training file is not in the format that was announced."""


class FileError(GroundedError):
    """A file or folder cannot be written, or belongs to another run."""

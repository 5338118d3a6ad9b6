"""METEOR, CIDEr and the PTB tokenizer through pycocoevalcap, with Java looked after.

METEOR 1.5 (Denkowski and Lavie, 2014) and the Stanford tokenizer are Java programs inside the pycocoevalcap wheel
(LGPL and GPL): they run as other processes and are no part of this package.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from ...errors import DataError

Pair = tuple[str, str]  # hypothesis, reference


def require_java() -> None:
    """Raise DataError, with a sentence that helps, unless Java and pycocoevalcap can be used."""
    advice = "install a Java runtime (for Debian and Ubuntu: apt install default-jre-headless) and try again"
    java = shutil.which("java")
    if java is None:
        raise DataError(f"METEOR, CIDEr and SODA_c need Java, and there is no 'java' on the PATH: {advice}")
    try:
        works = subprocess.run([java, "-version"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        works = False
    if not works:
        raise DataError(f"METEOR, CIDEr and SODA_c need Java, but {java} does not run: {advice}")
    try:
        import pycocoevalcap  # noqa: F401
    except ImportError as error:
        raise DataError("METEOR, CIDEr and SODA_c need pycocoevalcap: pip install pycocoevalcap") from error


class LanguageScorers:
    """The scorers, started once: ``with LanguageScorers() as language: …``.

    Raises:
        DataError: Java or pycocoevalcap is missing, or a Java program stopped.
    """

    def __init__(self) -> None:
        require_java()
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.meteor.meteor import Meteor
        from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

        self._tokenizer: Any = PTBTokenizer()
        self._meteor: Any = Meteor()
        self._cider: Any = Cider()
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> LanguageScorers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._meteor.lock.locked():  # an interrupted call leaves it so, and the scorer's own end would wait for it
            self._meteor.lock.release()
        process = self._meteor.meteor_p
        process.kill()
        process.communicate()

    def prepare(self, texts: Iterable[str]) -> None:
        """Tokenise texts in one go: starting the tokenizer takes longer than its work."""
        new = [text for text in dict.fromkeys(texts) if text not in self._tokens]
        if not new:
            return
        # One line per text: whatever could break a line becomes a space, and other letters do too, as published.
        captions = {i: [{"caption": _one_line(text)}] for i, text in enumerate(new)}
        try:
            tokens = self._tokenizer.tokenize(captions)
        except OSError as error:
            raise DataError(f"the PTB tokenizer could not run: {error}") from error
        if len(tokens) != len(new):
            raise DataError(f"the PTB tokenizer returned {len(tokens)} lines for {len(new)} texts")
        self._tokens |= {text: tokens[i][0] for i, text in enumerate(new)}

    def tokens(self, text: str) -> str:
        """Return the tokens of a text, joined by spaces: lower case, without punctuation."""
        self.prepare([text])
        return self._tokens[text]

    def meteor(self, pairs: Sequence[Pair]) -> float:
        """Return METEOR in [0, 1] of the pairs taken together."""
        return self._meteor_scores(pairs)[0]

    def meteor_each(self, pairs: Sequence[Pair]) -> list[float]:
        """Return METEOR in [0, 1] of each pair."""
        return self._meteor_scores(pairs)[1]

    def cider(self, pairs: Sequence[Pair]) -> float:
        """Return CIDEr of the pairs, word weights taken from their references; 0 to 10."""
        hypotheses, references = self._columns(pairs)
        return float(self._cider.compute_score(references, hypotheses)[0])

    def _meteor_scores(self, pairs: Sequence[Pair]) -> tuple[float, list[float]]:
        hypotheses, references = self._columns(pairs)
        try:
            together, each = self._meteor.compute_score(references, hypotheses)
        except (OSError, ValueError) as error:
            raise DataError(f"METEOR stopped: {error}; it needs about 2 GB of memory") from error
        return float(together), [float(score) for score in each]

    def _columns(self, pairs: Sequence[Pair]) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
        hypotheses = {i: [self.tokens(hypothesis)] for i, (hypothesis, _) in enumerate(pairs)}
        return hypotheses, {i: [self.tokens(reference)] for i, (_, reference) in enumerate(pairs)}


def _one_line(text: str) -> str:
    """Return ASCII text on one line, without METEOR's own separator."""
    ascii_text = "".join(character if ord(character) < 128 else " " for character in text)
    return " ".join(ascii_text.replace("|||", " ").split())

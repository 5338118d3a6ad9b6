"""Multiple choice: which option an answer names, by the rules that public evaluations use and by a strict one.

Sources: MVBench's notebook (Ask-Anything/video_chat2/mvbench.ipynb), Video-MME's eval_your_results.py, and lmms-eval's
mvbench/utils.py and mcq_extract.py (as of 2026-02). They disagree: MVBench's rule takes an empty answer for right and
"Answer: (B) ..." for wrong, Video-MME's takes the A of "A man ..." for the option A. So each is here as published, and
beside it `strict_letter`, which believes only an answer that names one option clearly.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_LETTER = re.compile(r"\(?\s*([A-Z])\s*(?:[).:]|$)", re.IGNORECASE)
_NAMED = re.compile(r"\(([A-Z])\)", re.IGNORECASE)
_PREFIX = re.compile(r"^\s*answer\s*:\s*", re.IGNORECASE)


def without_prefix(answer: str) -> str:
    """Return an answer without the "Answer:" that the model was trained to begin with."""
    return _PREFIX.sub("", answer).strip()


def strict_letter(answer: str, options: Sequence[str]) -> str | None:
    """Return the letter of the option that an answer names, or None if it names none, or several.

    Accepted are "(B) text", "(B)", "B", "B.", "B) text", "B: text", "B text" when the text is that of option B, and
    the text of an option alone; each also after "Answer:".

    >>> strict_letter("Answer: (B) a dog", ["a cat", "a dog"]), strict_letter("A dog runs", ["a cat", "a dog"])
    ('B', None)
    """
    text = without_prefix(answer).strip("*").strip()
    letters = string.ascii_uppercase[: len(options)]
    if len({name.upper() for name in _NAMED.findall(text) if name.upper() in letters}) > 1:
        return None
    match = _LETTER.match(text)
    if match:
        return match[1].upper() if match[1].upper() in letters else None
    plain = _plain(text)
    for letter, option in zip(letters, options, strict=False):
        if plain and plain in (_plain(option), _plain(f"{letter} {option}")):
            return letter
    return None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())


def mvbench_official(answer: str, letter: str) -> bool:
    """MVBench's rule, to the letter: the first word of the answer lies in "(b)", or "(b)" in it. Empty lies in all."""
    word, option = answer.lower().split(" ")[0], f"({letter.lower()})"
    return word.replace(".", "") in option or option in word


_SIGNS = ';/[]"{}()=+\\_->@`,?!<'


def lmms_letter(answer: str) -> str:
    """lmms-eval's rule for MVBench: the first lone letter A to E after cleaning, upper case; else the cleaned text."""
    leading = re.match(r"([A-E])\.\s*(.+)$", answer.strip(), re.IGNORECASE)
    if leading:
        return leading[1].upper()
    text = re.sub(r"[\n\t]", " ", answer).strip()
    joined_number = re.search(r"\d,\d", text)
    cleaned = text
    for sign in _SIGNS:
        drop = joined_number or f"{sign} " in text or f" {sign}" in text
        cleaned = cleaned.replace(sign, "" if drop else " ")
    cleaned = re.sub(r"\.(?!\d)", "", cleaned, count=32)  # 32: the published call passes a flag where the count stands
    cleaned = cleaned.strip("'").strip('"').strip(")").strip("(").strip().lower()
    lone = re.search(r"\b([a-e])\b", cleaned)
    return lone[1].upper() if lone else cleaned


# The published list lacks two commas, so that the last phrases of each pair never match: part of the rule by now.
_VIDEOMME_EARLIER = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",
    "Best answer:Best option:",
)
_VIDEOMME_PHRASES = (*_VIDEOMME_EARLIER, "Answer:", "Option:")


def videomme_letter(answer: str, earlier: bool = False) -> str:
    """Video-MME's rule: the first of A, B, C, D after known phrases are cut out, or "" if there is none.

    ``earlier`` follows the list of phrases before 2024-06-23.
    """
    text = answer.strip()
    for phrase in _VIDEOMME_EARLIER if earlier else _VIDEOMME_PHRASES:
        text = text.replace(phrase, "")
    match = re.search("[ABCD]", text)
    return match[0] if match else ""


_LETTERS = "ABCDEFGH"
_ANSWER_PHRASES = (
    *(f"{the}{kind} is" for the in ("", "the ", "my ") for kind in ("answer", "choice")),
    *(f"{the}{how} {kind} is" for the in ("", "the ") for how in ("correct", "best") for kind in ("answer", "option")),
    *("correct choice is", "the correct choice is", "i choose", "i select", "i pick"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)


def lmms_extracted_letter(answer: str) -> str:
    """lmms-eval's general rule: of all places where a letter could be meant, the surest kind, and of these the last."""
    text = answer.strip()
    for sign in ",.!?;:'\"":
        text = text.strip(sign)
    if not text:
        return ""
    padded = f" {text} "
    places = []  # (how sure the kind of place is, position, letter)
    for letter in _LETTERS:
        kinds = ((6, f"({letter})"), (5, f"{letter}."), (4, f"{letter}:"), (3, f"{letter})"), (2, f"{letter} "))
        places += [(sure, padded.rfind(form), letter) for sure, form in kinds if form in padded]
        for phrase in _ANSWER_PHRASES:
            after = padded.lower().find(phrase)
            position = padded.find(letter, after + len(phrase)) if after >= 0 else -1
            if position >= 0:
                places.append((7, position, letter))
        if text.startswith(letter) and not text[1:2].isalpha():
            places.append((10, 0, letter))
        if text.endswith(letter) and not text[-2:-1].isalpha():
            places.append((9, len(padded) - 1, letter))
    if not places:
        places = [(0, padded.rfind(letter), letter) for letter in _LETTERS if letter in padded]
    return max(places, key=lambda place: place[:2])[2] if places else ""

"""The closed vocabulary of the world's texts, and the tokenizer built from it.

Text is read without regard to case: a token is a word, a punctuation mark or a line break; spaces are not tokens. A
word that is not known is spelt: its longest known beginning, then its letters, so that a typing error can be read and
a foreign word be told from a known one.
Reading is therefore the same however a text is cut into chunks between words, and ``(A)`` is always three tokens.
Decoding puts the capitals back at the start of a line or sentence and in option letters, so an answer of the world
comes back exactly.
The chat markers are those of Phi-3.5 and swallow the white space after them, as Phi's do.
"""

from __future__ import annotations

import dataclasses
import re
import string
from collections.abc import Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from ... import prompts, time_tokens
from ...config import GROUNDING_TOKEN
from . import loose, wordings
from .figures import COLOURS

UNKNOWN_TOKEN = "<unk>"
MARKERS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>")
_PUNCTUATION = tuple(".,:;?!'\"()-\n")
_LETTERS = tuple(string.ascii_lowercase[:8])  # of options
_FURTHER_TEXTS = (  # that no table has
    wordings.NOT_THERE,
    wordings.UNKNOWN,
    wordings.NOTHING,
    "Yes. No. It",
    "Question: Options: Answer:",
    "From to and",
    "a an the something",
)
_SPELT = string.ascii_lowercase + string.digits
_INSIDE = "##"  # marks what goes on with a word
_TOKEN = re.compile(r"\w+|[^\w\s]|\n")


def texts() -> Iterator[str]:
    """Yield every text of the world, without placeholders."""
    for templates in wordings.TEMPLATES.values():
        yield from (re.sub(r"\{\w+\}", " ", template) for template in templates.all)
    for verbs in wordings.MOTION_WORDS.values():
        yield from (form for verb in verbs.all for form in dataclasses.astuple(verb))
    for shapes in (wordings.SHAPE_WORDS, wordings.LOOSE_SHAPES):
        yield from (noun for nouns in shapes.values() for noun in nouns)
    yield from (*COLOURS, *wordings.THINGS, *wordings.LOOSE_THINGS, *wordings.NUMBERS, *_FURTHER_TEXTS)
    yield from (text.format("") for text in loose.POLITENESS)
    yield from (text for texts in loose.FOLLOW_UPS.values() for text in texts)
    yield from dataclasses.astuple(wordings.APPEARS)
    yield prompts.CHATS["phi3.5"].system


def vocabulary() -> tuple[str, ...]:
    """Return every token of text, lower-case, in a fixed order: the unknown one, marks, words and letters sorted, and
    the letters inside words."""
    words = {word for text in texts() for word in _TOKEN.findall(text.lower())} | set(_SPELT)
    return (UNKNOWN_TOKEN, *_PUNCTUATION, *sorted(words - set(_PUNCTUATION)), *(_INSIDE + letter for letter in _SPELT))


def build_tokenizer(bins: int) -> Tokenizer:
    """Return the tokenizer: words, then chat markers, then ``<0>`` … ``<bins>`` and the grounding token, in this order.

    The chat markers are special tokens; the temporal tokens and the grounding token are ordinary added tokens, as in
    the released models.
    """
    words = {word: i for i, word in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token=UNKNOWN_TOKEN, continuing_subword_prefix=_INSIDE))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n"), "isolated"),
            pre_tokenizers.Split(Regex(r"[^\S\n]+"), "removed"),
            pre_tokenizers.Punctuation(),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix=_INSIDE, cleanup=False),
            decoders.Fuse(),
            decoders.Replace(Regex(r" (?=[.,:;?!)\n])"), ""),
            decoders.Replace(Regex(r"(?<=[(\n]) "), ""),
            decoders.Replace(Regex(r" (?='[.,?!]|'$)"), ""),  # before a closing quote
            decoders.Replace(Regex(r"(?<= ') "), ""),  # after an opening quote
            *_capitals(),
        ]
    )
    tokenizer.add_special_tokens(
        [AddedToken(marker, rstrip=True, normalized=False, special=True) for marker in MARKERS]
    )
    ordinary = (*time_tokens.tokens(bins), GROUNDING_TOKEN)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ordinary])
    return tokenizer


def _capitals() -> Iterator[decoders.Decoder]:
    for letter in string.ascii_lowercase:
        starts = rf"\A{letter}|(?<=\n){letter}|(?<=[.?!] ){letter}"
        yield decoders.Replace(Regex(starts), letter.upper())
    for letter in _LETTERS:
        yield decoders.Replace(Regex(rf"(?<=\(){letter}(?=\))"), letter.upper())

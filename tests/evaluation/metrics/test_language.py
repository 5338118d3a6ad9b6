"""METEOR, CIDEr and the tokenizer as the official programs print them, and a machine without Java."""

from __future__ import annotations

import json

import pytest

from grounded.errors import DataError
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import ScoringRules
from grounded.evaluation.metrics import language
from grounded.evaluation.metrics.language import LanguageScorers
from grounded.evaluation.scoring import check_rules
from tests.evaluation.shared import need, needs_java


@needs_java
def test_every_pair_has_the_official_tokens_meteor_and_cider(scorers: LanguageScorers) -> None:
    vectors = json.loads(need("activitynet_captions", "meteor_vectors.json").read_text())
    pairs = [(pair["hyp"], pair["ref"]) for pair in vectors["pairs"]]
    scorers.prepare(text for pair in pairs for text in pair)
    for pair in vectors["pairs"]:
        assert scorers.tokens(pair["hyp"]) == pair["hyp_tok"]
        assert scorers.tokens(pair["ref"]) == pair["ref_tok"]
    swapped = [(reference, hypothesis) for hypothesis, reference in pairs]
    assert scorers.meteor_each(pairs) == pytest.approx([p["meteor_hyp_vs_ref"] for p in vectors["pairs"]])
    assert scorers.meteor_each(swapped) == pytest.approx([p["meteor_swapped_as_SODA"] for p in vectors["pairs"]])
    assert scorers.meteor(pairs) == pytest.approx(vectors["meteor_aggregate"])
    assert scorers.meteor(swapped) == pytest.approx(vectors["meteor_aggregate_swapped"])
    assert scorers.cider(pairs) == pytest.approx(vectors["cider"])


@needs_java
def test_odd_texts_neither_stop_meteor_nor_shift_the_lines(scorers: LanguageScorers) -> None:
    texts = ["", "…", "a\nb\u2028c\rd", "one ||| two ||| three", "EVAL ||| x", "a dog"]
    scorers.prepare(texts)
    assert scorers.tokens("a\nb\u2028c\rd") == "a b c d"
    assert scorers.tokens("a dog") == "a dog"
    scores = scorers.meteor_each([(text, "a dog") for text in texts] + [("a dog", text) for text in texts])
    assert scores[0] == scores[6] == 0.0 and scores[5] == scores[11] == 1.0
    assert all(0 <= score <= 1 for score in scores)


def test_without_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language.shutil, "which", lambda name: None)
    with pytest.raises(DataError, match=r"need Java, and there is no 'java' on the PATH: install a Java runtime"):
        check_rules(find("activitynet-captions"), ScoringRules())


def test_a_java_that_does_not_run_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language.shutil, "which", lambda name: "/bin/false")
    with pytest.raises(DataError, match="/bin/false does not run"):
        check_rules(find("activitynet-captions"), ScoringRules())

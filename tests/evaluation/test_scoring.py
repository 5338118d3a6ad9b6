"""Scoring: rules that cannot be followed, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from grounded.errors import ConfigError, DataError
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import ScoringRules
from grounded.evaluation.scoring import check_rules, score_files


@pytest.mark.parametrize(
    "rules", [ScoringRules(references="most"), ScoringRules(missing="ignore"), ScoringRules("authors")]
)
def test_rules_that_cannot_be_followed_are_refused_before_the_run(rules: ScoringRules) -> None:
    with pytest.raises(ConfigError):
        check_rules(find("mvbench"), rules)


def test_scoring_predictions_of_another_benchmark_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "charades_sta_test.txt").write_text("AAAAA 0.0 1.5##a person\n")
    strange = tmp_path / "predictions.jsonl"
    strange.write_text('{"key": "v_a/0", "video": "v_a", "task": "ground", "error": "x"}\n')
    with pytest.raises(DataError, match="none of the 1 predictions names a question of Charades-STA, such as 'v_a/0'"):
        score_files(find("charades-sta"), [strange], tmp_path)

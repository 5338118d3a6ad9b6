"""ActivityNet grounding: its two annotators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grounded.errors import ConfigError
from grounded.evaluation.benchmarks import find
from grounded.evaluation.scoring import read_annotations


def test_activitynet_reads_a_query_per_sentence_of_val_2_or_of_the_split_named(tmp_path: Path) -> None:
    for name, sentence in (("val_1", " A man climbs."), ("val_2", " He rests.")):
        content = {"v_a": {"duration": 20.5, "timestamps": [[0, 10], [5.5, 5.5]], "sentences": [sentence, "x"]}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    read = read_annotations(find("activitynet"), tmp_path)
    assert [item.question for item in read.items] == ["He rests.", "x"]
    assert [item.key for item in read.items] == ["v_a/0", "v_a/1"] and read.items[0].duration == 20.5
    assert "val.json" not in read.notes[0] and "val_2 has 4,885 and 17,031" in read.notes[0]
    assert read.notes[1].startswith("1 annotated moments are empty")
    assert read_annotations(find("activitynet"), tmp_path, "val_1").items[0].question == "A man climbs."
    with pytest.raises(ConfigError, match="has the splits val_2, val_1; not 'test'"):
        read_annotations(find("activitynet"), tmp_path, "test")

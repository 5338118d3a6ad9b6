"""The benchmark on a GPU: without one it says so; at small size on the CPU every row of its table is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from grounded.command import program
from grounded.config import RELEASED
from tests.bench import agreement, gpu, load
from tests.bench.machine import Machine
from tests.golden import Golden

ROWS = [
    "encode (matrix products)",
    "read the prefix (matrix products)",
    "first question",
    "further question (encode + read)",
    "16 in one batch (one by one)",
    "captions of 8 tokens",
    "a decoded token (bytes / bandwidth)",
    "weights on the device",
    "peak memory (weights)",
]


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine(torch.device("cpu"), runs=1)


@pytest.fixture
def few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "ANSWER", 2)
    monkeypatch.setattr(gpu, "CAPTIONS", 8)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_without_a_gpu_it_says_so_and_ends_well() -> None:
    result = CliRunner().invoke(program(gpu.main), [])
    assert result.exit_code == 0 and result.stdout.startswith("There is no CUDA GPU here")


@pytest.mark.usefixtures("few_tokens")
@pytest.mark.parametrize("llm", RELEASED)
def test_every_row_is_there_for_every_setup(llm: str, machine: Machine) -> None:
    columns, sentences = gpu.bench(gpu.small(RELEASED[llm]), machine)
    assert list(columns) == ["bfloat16, sdpa", "int8", "int4", "towers offloaded"]
    assert sentences == ["flash-attention is left out: it needs a CUDA GPU and the package flash-attn."]
    for figures in columns.values():
        assert list(figures) == ["draw", *ROWS]
        assert all(figure.value > 0 for figure in figures.values())
        encode, read = (figures[row].value for row in ROWS[:2])
        assert figures[ROWS[3]].ratio == pytest.approx(figures[ROWS[3]].value / (encode + read))
        assert figures[ROWS[4]].ratio == pytest.approx(figures[ROWS[4]].value / (16 * figures[ROWS[3]].value))
    bytes_of = {name: figures["weights on the device"].value for name, figures in columns.items()}
    assert bytes_of["int4"] < bytes_of["int8"] < bytes_of["bfloat16, sdpa"]
    lines = gpu.table(columns).splitlines()
    assert len(lines) == 3 + len(ROWS) and all(line.count("|") == 6 for line in lines)


@pytest.mark.usefixtures("few_tokens")
def test_with_a_folder_loading_is_timed_beside_reading_its_files(machine: Machine, tmp_path: Path) -> None:
    config = gpu.small(RELEASED["phi3.5"])
    load.write_converted(config, tmp_path)
    columns, _ = gpu.bench(config, machine, gpu.SETUPS[:1], tmp_path)
    loading = columns["bfloat16, sdpa"]["load (reading the files)"]
    assert loading.ratio is not None and loading.ratio > 0


def test_the_operations_are_those_that_torch_counts() -> None:
    """torch counts all pairs of a causal model, and no convolution is part of either sum."""
    from torch.utils.flop_counter import FlopCounterMode

    config = gpu.small(RELEASED["phi3.5"])
    setup = gpu.Setup("eager", attention="eager")  # torch does not count the other kind on a CPU
    network = gpu.random_network(config, setup, Machine(torch.device("cpu"), torch.float32, runs=1))
    image = torch.zeros(config.segments, 3, 56, 56)
    video = torch.zeros(config.frames, 3, 56, 56)
    encode, read = gpu.flops(config)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        for number, segment in enumerate(video.unflatten(0, (config.segments, -1))):
            network.image_features(image[number : number + 1])
            network.video_features(segment[None])
    convolutions = counter.get_flop_counts()["Global"][torch.ops.aten.convolution]
    assert encode == pytest.approx(counter.get_total_flops() - convolutions, rel=1e-6)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.language_model(inputs_embeds=torch.zeros(1, config.visual_tokens, 64), logits_to_keep=1)
    head = 2 * 64 * config.llm["vocab_size"]
    causal_half = 2.0 * config.visual_tokens**2 * 64 * 2
    assert read == pytest.approx(counter.get_total_flops() - head - causal_half, rel=1e-3)  # the rope is in it


def test_bfloat16_agrees_with_float32_where_margins_allow(golden: Golden) -> None:
    same, compared = agreement.agreement(golden, "cpu")
    assert same == compared >= 3

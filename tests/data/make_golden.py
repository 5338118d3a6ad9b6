"""Make the small golden set, tests/data/golden.tar.xz, from the whole one: `python tests/data/make_golden.py FOLDER`.

Random numbers cannot be compressed, and most of the whole set are the embedding rows of tokens that no test touches.
Those rows are emptied here (an output row gets a bias that keeps it from ever being chosen), some long prompts are left
out, and everything that no test reads is dropped. Features are rounded to 1/4096, far below what tests allow them to
differ. The rest is what the authors' code gave, unchanged.
"""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from grounded.weights.names import LAYOUTS

PROMPTS_KEPT = ("default_grounding", "default_qa", "referring_in_range", "qa_whitespace", "long_crosses_4096", "long")
TENSORS_DROPPED = ("clip_features",)
NEVER = -100.0
STEP = 4096


def main(whole: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder)
        shutil.copytree(whole / "video", small / "video", ignore=shutil.ignore_patterns("*.npz"))
        for llm, layout in LAYOUTS.items():
            shutil.copy(whole / f"manifest_{llm}.json", small)
            for name in layout.files:
                target = small / llm / "weights" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(whole / llm / "weights" / name, target)
                target.chmod(0o644)
            facts = json.loads((whole / llm / "goldens" / "goldens.json").read_text(encoding="utf-8"))
            tensors = load_file(whole / llm / "goldens" / "goldens.safetensors")
            kept = _keep_prompts(facts, tensors)
            count = facts["tokenizer"]["vocab_rows"]
            rows = sorted(number for number in _token_ids(facts) if number < count)
            _empty_rows(small / llm / "weights" / layout.checkpoint, rows)
            for name in [name for name in kept if name.startswith("logits_")]:
                unknown = torch.ones(len(kept[name]), dtype=torch.bool)
                unknown[rows] = False
                kept[name][unknown] = torch.nan
            (small / llm / "goldens").mkdir()
            save_file(kept, small / llm / "goldens" / "goldens.safetensors")
            (small / llm / "goldens" / "goldens.json").write_text(json.dumps(facts), encoding="utf-8")
        with tarfile.open(Path(__file__).parent / "golden.tar.xz", "w:xz", preset=9) as archive:
            for path in sorted(small.iterdir()):
                archive.add(path, path.name)


def _keep_prompts(facts: dict, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prompts, kept = [], {}
    for number, prompt in enumerate(facts["prompts"]):
        if prompt["name"] in PROMPTS_KEPT:
            kept[f"logits_{len(prompts)}_{prompt['name']}"] = tensors[f"logits_{number}_{prompt['name']}"]
            prompts.append(prompt)
    facts["prompts"] = prompts
    others = {
        name: (tensor * STEP).round() / STEP if tensor.numel() > 50_000 and tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if not name.startswith(("logits_", *TENSORS_DROPPED))
    }
    return others | kept


def _token_ids(tree: object) -> set[int]:
    """Return every token id that the facts mention: whatever whole numbers stand in lists."""
    if isinstance(tree, dict):
        return set().union(*map(_token_ids, tree.values()))
    if isinstance(tree, list):
        return set().union(*({x} if type(x) is int and x >= 0 else _token_ids(x) for x in tree))
    return set()


def _empty_rows(path: Path, rows: list[int]) -> None:
    checkpoint = torch.load(path, weights_only=True)
    llm = checkpoint["model"]["language_model"]
    prefix = "base_model.model."
    table = llm[f"{prefix}model.embed_tokens.weight"]
    unused = torch.ones(len(table), dtype=torch.bool)
    unused[rows] = False
    for name, value in (("model.embed_tokens.weight", 0.0), ("lm_head.weight", 0.0), ("lm_head.bias", NEVER)):
        llm[prefix + name][unused] = value
    torch.save(checkpoint, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Put a converted model on the hub, with a card that says what it is, so that it can be loaded without converting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelCard, ModelCardData

from ..config import ModelConfig
from ..errors import WeightsError
from . import hub, names, storage

# What a card says of where a model comes from, its facts for the hub, and its licence, by the model's name. "other" is
# what the hub calls a licence that is none of its list.
_RELEASED = (
    f"Its weights are those of [{names.HUB_ID}](https://huggingface.co/{names.HUB_ID}) (Grounded-VideoLLM, "
    "[arXiv:2410.03290](https://arxiv.org/abs/2410.03290)) with the LoRA merged, as `python -m grounded convert` "
    "writes them; nothing was trained anew."
)
_OTHER: dict[str, Any] = {"license": "other", "license_name": "as-released", "base_model": names.HUB_ID}
_TOWERS = "InternVideo2 (OpenGVLab) and CLIP ViT-L/14-336 (OpenAI)"
_ABOUT: dict[str, tuple[str, dict[str, Any], str]] = {
    "phi3.5": (_RELEASED, _OTHER, f"The weights keep the licences of {names.HUB_ID}, Phi-3.5 (Microsoft), {_TOWERS}."),
    "llama3": (
        _RELEASED,
        _OTHER,
        f"The weights keep the licences of {names.HUB_ID}, {_TOWERS} and the Meta Llama 3 Community License. "
        "Built with Meta Llama 3.",
    ),
    "tiny": ("It was trained from nothing, on moving shapes.", {"license": "apache-2.0"}, "Apache-2.0."),
}
_UNKNOWN: tuple[str, dict[str, Any], str] = (
    "It was trained or converted by whoever put it here.",
    {"license": "other"},
    "Ask whoever put it here.",
)
_TEXT = """
# {name}, converted for grounded

It finds moments in videos: ask in words, get the seconds. {source}

```python
import grounded

video = grounded.load("{hub_id}").watch("clip.mp4")
print(video.ground("a red circle spins").moments)
```

`GROUNDED_MODEL={hub_id} python app.py` opens the page with it, and so does a Space that has this variable.

## Licence

{licence}
"""


def upload(folder: Path, hub_id: str, private: bool = False) -> str:
    """Put a converted folder on the hub with a model card, and return its address.

    What is there already is not sent again.

    Raises:
        WeightsError: the folder is not a whole converted model, ``hub_id`` is not owner/name, or the hub refuses.
    """
    if not storage.is_whole(folder):
        raise WeightsError(f"{folder} is not a whole converted model; `python -m grounded convert` writes one")
    if hub_id.count("/") != 1:
        raise WeightsError(f"{hub_id!r} cannot be a place on the hub; it must be OWNER/NAME")
    api = HfApi()
    with hub.sentences(hub_id):
        url = api.create_repo(hub_id, private=private, exist_ok=True)
        text = str(card(storage.read_config(folder), hub_id)).encode()
        api.upload_file(path_or_fileobj=text, path_in_repo="README.md", repo_id=hub_id)
        api.upload_folder(repo_id=hub_id, folder_path=folder, allow_patterns=storage.files(folder))
    return str(url)


def card(config: ModelConfig, hub_id: str) -> ModelCard:
    """Return the model card: licence, source, and how to load it."""
    source, facts, licence = _ABOUT.get(config.name, _UNKNOWN)
    tags = ["temporal-grounding", "video-question-answering", "grounded"]
    data = ModelCardData(pipeline_tag="video-text-to-text", library_name="grounded", tags=tags, **facts)
    text = _TEXT.format(name=config.name, source=source, hub_id=hub_id, licence=licence)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n{text}")

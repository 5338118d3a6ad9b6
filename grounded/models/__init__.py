"""The network: tensors in, tensors out. No file, no tokenizer and no prompt is known here."""

from .grounded_videollm.network import VideoLLM

__all__ = ["VideoLLM"]

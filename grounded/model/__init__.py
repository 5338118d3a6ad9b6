"""The network: tensors in, tensors out. No file, no tokenizer and no prompt is known here."""

from .video_llm import VideoLLM

__all__ = ["VideoLLM"]

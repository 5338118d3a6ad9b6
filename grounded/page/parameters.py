"""Parameters and results of the API as components; none of them shows on the page."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import JsonData


class Data(gr.JSON):
    """A parameter or a result as plain data, with the JSON schema that the API's description shows."""

    is_template = True  # the front end draws it as it draws gr.JSON

    def __init__(self, value: Any = None, schema: dict[str, Any] | None = None, *, label: str | None = None) -> None:
        self.schema = schema or {}
        super().__init__(value, label=label)

    def api_info(self) -> dict[str, Any]:
        return self.schema

    def postprocess(self, value: Any) -> JsonData:
        return JsonData(root=value)


class VideoPath(gr.Video):
    """A video as a parameter."""

    is_template = True

    def api_info(self) -> dict[str, Any]:
        return super().api_info() | {"additional_description": "The video file."}

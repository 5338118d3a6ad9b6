"""The endpoints as MCP tools: named by what they are for, with results as data. Gradio's own server gives text."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from gradio import processing_utils
from gradio.mcp import GradioMCPServer
from gradio_client.utils import is_file_obj_with_meta  # type: ignore[import-untyped]
from mcp import types
from mcp.server import Server

from ..library.searching import LibraryAnswer
from ..types import Answer
from . import files

_FILE = {"type": "object", "properties": {"file": {"type": "string", "format": "uri"}}, "required": ["file"]}
_UPLOADED = "/gradio_api/file="
_HIDDEN = "verbose error reporting"  # Gradio's words for an error that it keeps to itself
_FAILED = "The tool failed: the video's address cannot be read from here, or the server's log says why."


class Tool(NamedTuple):
    """How an endpoint is presented to agents."""

    name: str
    title: str
    output: dict[str, Any]


TOOLS = {
    "ground": Tool("find_moments", "Find when something happens", Answer.json_schema()),
    "refer": Tool("describe_range", "Say what happens in a range", Answer.json_schema()),
    "choose": Tool("choose_option", "Choose one of several answers", Answer.json_schema()),
    "caption": Tool("list_events", "List all events", Answer.json_schema()),
    "ask": Tool("ask_about_video", "Ask anything", Answer.json_schema()),
    "search": Tool("search_library", "Find which films show something, and when", LibraryAnswer.json_schema()),
    "export": Tool("export_moments", "Write answers as a file, or cut out a clip", _FILE),
}


class ToolServer(GradioMCPServer):
    """Gradio's server, which calls the endpoints through the queue, with typed results and readable errors."""

    def get_tool_to_endpoint(self) -> dict[str, str]:
        served = {function.api_name for function in self.blocks.fns.values()}
        return {self.tool_prefix + tool.name: f"/{name}" for name, tool in TOOLS.items() if name in served}

    def get_input_schema(
        self, tool_name: str, parameters: dict[str, str] | None = None
    ) -> tuple[dict[str, Any], list[list[str | int]]]:
        schema, files = super().get_input_schema(tool_name, parameters)
        for parameter in schema["properties"].values():
            parameter.pop("additional_description", None)  # the same as its description
        return schema | {"additionalProperties": False}, files

    def convert_strings_to_filedata(self, value: Any, filedata_positions: list[list[str | int]]) -> Any:
        """Return arguments with files for addresses; one of this server's own uploads is taken as what it is.

        Gradio fetches no address of a private network, so that nobody reaches one through it. Its helper for agents
        gives a local server such an address of a file that was uploaded to it.
        """
        uploads = {k: path for k, v in value.items() if [k] in filedata_positions and (path := self._uploaded(v))}
        converted = super().convert_strings_to_filedata(
            {name: each for name, each in value.items() if name not in uploads}, filedata_positions
        )
        return converted | {k: {"path": path, "meta": {"_type": "gradio.FileData"}} for k, path in uploads.items()}

    def _uploaded(self, address: Any) -> str | None:
        """Return the file of this server that an address names, None where it names none of its uploads."""
        if not isinstance(address, str) or _UPLOADED not in address:
            return None
        request = self.mcp_server.request_context.request
        here = urlsplit(self.local_url or "").port
        own = {f"localhost:{here}", f"127.0.0.1:{here}", request.headers.get("host") if request else None}
        path = files.uploaded(unquote(address.split(_UPLOADED, 1)[1]))
        return path if path and urlsplit(address).netloc in own else None

    def postprocess_output_data(self, data: Any, root_url: str) -> list[types.TextContent | types.ImageContent]:
        (result,) = processing_utils.add_root_url(data, root_url, None)
        if is_file_obj_with_meta(result):
            result = {"file": result["url"]}
        return [types.TextContent(type="text", text=json.dumps(result, ensure_ascii=False))]

    def create_mcp_server(self) -> Server:
        server = super().create_mcp_server()
        handlers = server.request_handlers
        list_tools, call_tool = handlers[types.ListToolsRequest], handlers[types.CallToolRequest]

        async def list_described(request: types.ListToolsRequest) -> types.ServerResult:
            result = await list_tools(request)
            for tool in result.root.tools:
                name, tool.title, tool.outputSchema = TOOLS[self.tool_to_endpoint[tool.name].lstrip("/")]
                tool.annotations = types.ToolAnnotations(
                    title=tool.title, readOnlyHint=True, idempotentHint=True, openWorldHint=False
                )
            return result

        async def call_with_data(request: types.CallToolRequest) -> types.ServerResult:
            result = (await call_tool(request)).root
            text = result.content[0].text
            if not result.isError:
                result.structuredContent = json.loads(text)
            elif _HIDDEN in text:
                result.content = [types.TextContent(type="text", text=_FAILED)]
            return types.ServerResult(result)

        handlers[types.ListToolsRequest] = list_described
        handlers[types.CallToolRequest] = call_with_data
        return server

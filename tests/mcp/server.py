"""One replica by the official Python SDK: sessions in its own memory at /mcp, none at /stateless.

    python server.py REPLICA

prints `{"port": N}` once it listens on a free port of 127.0.0.1. The tool `count` counts its calls in
the session; `who` names the replica and the session as the replica sees it, and sends a notification
to the session's stream.
"""

import contextlib
import json
import socket
import sys
import warnings

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

replica = sys.argv[1]
counts: dict[str, int] = {}

warnings.simplefilter("ignore")


async def list_tools(ctx, params):
    tools = [types.Tool(name=name, input_schema={"type": "object"}) for name in ("count", "who")]
    return types.ListToolsResult(tools=tools)


async def call_tool(ctx, params):
    session = ctx.request.headers.get("mcp-session-id")
    answer = {"replica": replica, "session": session}
    if params.name == "count" and session is not None:
        counts[session] = answer["count"] = counts.get(session, 0) + 1
    if params.name == "who" and session is not None:
        await ctx.session.send_log_message("info", {"replica": replica, "session": session})
    return types.CallToolResult(content=[types.TextContent(type="text", text=json.dumps(answer))])


async def health(request):
    return PlainTextResponse("ok\n")


def main():
    stateful, stateless = (
        Server("trial", on_list_tools=list_tools, on_call_tool=call_tool) for _ in range(2)
    )
    routes = stateful.streamable_http_app(streamable_http_path="/mcp").routes
    routes += stateless.streamable_http_app(
        streamable_http_path="/stateless", stateless_http=True
    ).routes

    @contextlib.asynccontextmanager
    async def lifespan(_):
        async with stateful.session_manager.run(), stateless.session_manager.run():
            yield

    app = Starlette(routes=[*routes, Route("/health", health)], lifespan=lifespan)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(app, log_level="error", access_log=False, timeout_keep_alive=120)
    uvicorn.Server(config).run(sockets=[listener])


main()

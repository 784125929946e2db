// One replica by the official TypeScript SDK: sessions in its own memory at /mcp, none at /stateless.
//
//     node server.mjs REPLICA
//
// prints `{"port": N}` once it listens on a free port of 127.0.0.1. The tool `count` counts its calls
// in the session; `who` names the replica and the session as the replica sees it, and sends a
// notification to the session's stream.

import { randomUUID } from "node:crypto";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { isInitializeRequest } from "@modelcontextprotocol/sdk/types.js";
import express from "express";

const replica = process.argv[2];
const transports = new Map();

function server() {
  const server = new McpServer({ name: "trial", version: "1" }, { capabilities: { logging: {} } });
  let count = 0;
  const seen = (extra) => extra.requestInfo?.headers["mcp-session-id"] ?? null;
  const answer = (fields) => ({ content: [{ type: "text", text: JSON.stringify(fields) }] });
  server.registerTool("count", { description: "Counts its calls" }, (extra) =>
    answer({ replica, session: seen(extra), count: ++count }));
  server.registerTool("who", { description: "Names the replica" }, async (extra) => {
    const fields = { replica, session: seen(extra) };
    if (fields.session !== null) {
      await server.server.sendLoggingMessage({ level: "info", data: fields });
    }
    return answer(fields);
  });
  return server;
}

function refuse(response, status, code, message) {
  response.status(status).json({ jsonrpc: "2.0", error: { code, message }, id: null });
}

const app = express();
app.use(express.json());
app.get("/health", (_, response) => response.send("ok\n"));

app.post("/stateless", async (request, response) => {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on("close", () => transport.close());
  await server().connect(transport);
  await transport.handleRequest(request, response, request.body);
});

app.all("/stateless", (_, response) => response.status(405).end());

app.all("/mcp", async (request, response) => {
  const id = request.headers["mcp-session-id"];
  let transport = transports.get(id);
  if (!transport && id !== undefined) return refuse(response, 404, -32001, "Session not found");
  if (!transport) {
    if (!isInitializeRequest(request.body)) {
      return refuse(response, 400, -32000, "Bad Request: no session");
    }
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => transports.set(id, transport),
      onsessionclosed: (id) => transports.delete(id),
    });
    await server().connect(transport);
  }
  await transport.handleRequest(request, response, request.body);
});

const listener = app.listen(0, "127.0.0.1", 1024, () =>
  console.log(JSON.stringify({ port: listener.address().port })));
listener.keepAliveTimeout = 120_000;

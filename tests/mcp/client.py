"""Many sessions by the official Python SDK, and what they saw.

    python client.py '{"ports": [...], "sessions": N, "calls": [M, ...], "concurrency": C, ...}'

Every session sends its requests to the ports in turn. After each phase of M calls, and a notification
that came on the session's stream, one line of JSON says what each session has seen; a line on standard
input begins the next phase. The last line comes when the sessions have been ended. With `again` a session that is told 404 is begun anew; without, it
is given up. With `sessionless` the calls are made at /stateless, and with `revision` besides in a
revision that has no sessions.
"""

import asyncio
import contextlib
import json
import sys
import warnings

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

warnings.simplefilter("ignore")

FIELD = "mcp-session-id"
# How long a session's stream may take to bring a notification.
NOTIFIED_SECONDS_MAX = 20


class Tap(httpx2.AsyncBaseTransport):
    """Sends a session's requests to the ports in turn and writes down what a session must see."""

    def __init__(self, wire, ports, first):
        self.wire, self.ports, self.turn = wire, ports, first
        self.sent, self.received = set(), set()
        self.missing = {"POST": 0, "GET": 0, "DELETE": 0}
        self.ended = 0
        self.others = []
        self.is_lost = False

    async def handle_async_request(self, request):
        if request.method == "DELETE" and self.is_lost:
            # What is lost already is not ended; the SDK would.
            return httpx2.Response(405, request=request)
        self.turn += 1
        port = self.ports[self.turn % len(self.ports)]
        request.url = request.url.copy_with(port=port)
        if (value := request.headers.get(FIELD)) is not None:
            self.sent.add(value)
        response = await self.wire.handle_async_request(request)
        if (value := response.headers.get(FIELD)) is not None:
            self.received.add(value)
        if response.status_code == 404:
            self.missing[request.method] += 1
        elif response.status_code >= 400:
            self.others.append(f"{request.method} {response.status_code}")
        elif request.method == "DELETE":
            self.ended += 1
        return response

    async def aclose(self):
        """The wire is shared."""


class Session:
    def __init__(self, number, options, wire, places):
        self.options, self.places = options, places
        self.tap = Tap(wire, options["ports"], number)
        path = "/stateless" if options.get("sessionless") else "/mcp"
        self.url = f"http://127.0.0.1:{options['ports'][0]}{path}"
        self.phase = self.calls = self.begun = 0
        self.reports = [asyncio.Event() for _ in options["calls"]]
        self.gates = [asyncio.Event() for _ in options["calls"]]
        self.replicas, self.ids, self.id, self.count = [], [], None, 0
        self.gaps = self.foreign = self.notifications = self.answered = 0
        self.errors = []

    async def run(self):
        goes_on = True
        while goes_on:
            http = httpx2.AsyncClient(
                transport=self.tap, timeout=httpx2.Timeout(60, read=300), trust_env=False
            )
            transport = streamable_http_client(self.url, http_client=http)
            mode = self.options.get("revision", "legacy")
            try:
                async with contextlib.AsyncExitStack() as stack:
                    async with self.places:
                        client = Client(transport, mode=mode, logging_callback=self.log)
                        await stack.enter_async_context(client)
                    self.begun, self.count, self.id = self.begun + 1, 0, None
                    goes_on = not await self.work(client) and self.options.get("again", False)
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                goes_on = False
            await http.aclose()
        for report in self.reports:
            report.set()

    async def work(self, client):
        """Makes the calls of the phases that are left; False when the session is lost."""
        self.tap.is_lost = False
        while self.phase < len(self.reports):
            if not self.id and not await self.call(client, "who"):
                return False
            while self.calls < self.options["calls"][self.phase]:
                name = "who" if self.options.get("sessionless") else "count"
                if not await self.call(client, name):
                    return False
                self.calls += 1
            if not self.options.get("sessionless") and not await self.notified(client):
                return False
            self.reports[self.phase].set()
            await self.gates[self.phase].wait()
            self.phase, self.calls = self.phase + 1, 0
        return True

    async def call(self, client, name):
        missing = self.tap.missing["POST"]
        try:
            async with self.places:
                result = await client.call_tool(name)
        except MCPError as error:
            self.tap.is_lost = True
            if self.tap.missing["POST"] == missing:
                self.errors.append(f"{name}: {error}")
            return False
        answer = json.loads(result.content[0].text)
        self.answered += 1
        if self.options.get("sessionless") or not self.id:
            self.id = answer["session"] or "none"
            self.ids.append(self.id)
            self.replicas.append(answer["replica"])
        if (answer["session"] or "none") != self.id or answer["replica"] != self.replicas[-1]:
            self.foreign += 1
        if name == "count":
            self.count += 1
            if answer["count"] != self.count:
                self.gaps += 1
        return True

    async def notified(self, client):
        """Waits until the session's stream has brought a notification once more."""
        before = self.notifications
        for _ in range(NOTIFIED_SECONDS_MAX * 4):
            if self.notifications > before:
                return True
            if not await self.call(client, "who"):
                return False
            await asyncio.sleep(0.25)
        self.errors.append("the stream has brought no notification")
        return True

    async def log(self, params):
        self.notifications += 1
        if self.id and params.data != {"replica": self.replicas[-1], "session": self.id}:
            self.foreign += 1

    def seen(self):
        tap = self.tap
        names = "begun answered count replicas ids gaps foreign notifications errors"
        seen = {name: getattr(self, name) for name in names.split()}
        return seen | {
            "sent": sorted(tap.sent),
            "received": sorted(tap.received),
            "missing": tap.missing,
            "ended": tap.ended,
            "others": tap.others,
        }


async def main():
    options = json.loads(sys.argv[1])
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    wire = httpx2.AsyncHTTPTransport(limits=limits, trust_env=False)
    places = asyncio.Semaphore(options["concurrency"])
    sessions = [Session(number, options, wire, places) for number in range(options["sessions"])]
    tasks = [asyncio.create_task(session.run()) for session in sessions]
    for phase in range(len(options["calls"])):
        await asyncio.gather(*(session.reports[phase].wait() for session in sessions))
        print(json.dumps([session.seen() for session in sessions]), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for session in sessions:
            session.gates[phase].set()
    await asyncio.gather(*tasks)
    print(json.dumps([session.seen() for session in sessions]), flush=True)


asyncio.run(main())

#!/usr/bin/env python3
"""Sessions of the Model Context Protocol, by the official SDKs, behind two processes of limpet.

    tests/mcp/trial.py --limpet target/debug/limpet [--sessions 1000] [--calls 20] [--replicas 3]

Replicas of both SDKs keep their sessions in memory; clients of both SDKs spread each session's
requests over both processes, which share a key ring. Told as a table:

1. Without stickiness sessions are lost.
2. Stickiness of the type app_header is switched on by a reload. Requests without sessions are balanced.
3. Every session is answered by one replica, while both processes reload again and again.
4. One replica of each SDK is killed: its sessions are told so by one 404 each and begun anew.
5. All sessions are ended.

The exit code is 1 when an expectation fails. Needs python3 with venv, node with npm, and their
registries. Packages and logs live in a temporary folder, or in the one that --folder names, which is
kept.
"""

import argparse
import asyncio
import base64
import collections
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
KINDS = ("python", "typescript")
# A client prints what all its sessions saw on one line.
LINE_BYTES_MAX = 256 * 1024 * 1024
RELOAD_SECONDS = 0.5
# How long limpet may take to say what it was told, or what it has found out.
SAID_SECONDS_MAX = 120


class Stage:
    """The packages, the processes and where they write."""

    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.deadline, self.processes = 0.0, []
        self.environment = os.environ | {"PYTHONUNBUFFERED": "1", "no_proxy": "127.0.0.1"}

    def install(self):
        for path in HERE.glob("*"):
            if path.suffix in (".py", ".mjs", ".json", ".txt"):
                shutil.copy(path, self.folder)

        def run(*command):
            subprocess.run(command, cwd=self.folder, check=True)

        python = self.folder / "venv/bin/python"
        if not python.exists():
            run(sys.executable, "-m", "venv", "venv")
        run(python, "-m", "pip", "install", "--quiet", "-r", "requirements.txt")
        if not (self.folder / "node_modules").exists():
            run("npm", "install", "--silent", "--no-audit", "--no-fund")
        self.commands = {
            "python": lambda name: [str(python), f"{name}.py"],
            "typescript": lambda name: ["node", f"{name}.mjs"],
        }
        self.deadline = time.monotonic() + self.options.minutes * 60

    async def start(self, command, log):
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(self.folder / f"{log}.log", "ab"),
            limit=LINE_BYTES_MAX,
        )
        self.processes.append(process)
        return process

    async def line(self, process):
        """The next line of JSON that a process prints."""
        left = self.deadline - time.monotonic()
        line = await asyncio.wait_for(process.stdout.readline(), left)
        if not line:
            raise RuntimeError(f"process {process.pid} ended; its log is in {self.folder}")
        return json.loads(line)

    async def end(self):
        for process in self.processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


class Replicas:
    """Servers of both kinds, each with its sessions in its memory."""

    def __init__(self, stage):
        self.stage, self.processes, self.ports = stage, {}, {}

    async def start(self):
        for kind in KINDS:
            for number in range(self.stage.options.replicas):
                name = f"{kind}-{number}"
                command = [*self.stage.commands[kind]("server"), name]
                self.processes[name] = await self.stage.start(command, name)
        for name, process in self.processes.items():
            self.ports[name] = (await self.stage.line(process))["port"]

    async def kill(self, name):
        self.processes[name].kill()
        await self.processes[name].wait()


class Balancers:
    """Two processes of limpet with one key ring, one listener for each kind of replica."""

    COUNT = 2

    def __init__(self, stage, replicas):
        self.stage, self.replicas = stage, replicas
        self.secret = base64.b64encode(secrets.token_bytes(32)).decode()
        self.ports = {kind: free_ports(self.COUNT) for kind in KINDS}
        self.processes = []
        self.reloads = 0

    def write(self, is_sticky):
        for number in range(self.COUNT):
            path = self.stage.folder / f"limpet-{number}.toml"
            path.with_suffix(".new").write_text(self.configuration(number, is_sticky))
            path.with_suffix(".new").rename(path)

    def configuration(self, number, is_sticky):
        # What a reload changes: the sessions must not notice. Checks and clients are waited for so long
        # that a busy machine loses no session by them.
        timeout = f"{4 + self.reloads % 2}s"
        text = f"""
[process]
grace_period = "2s"
[access_log]
output = "off"
[admin]
socket = "{self.stage.folder}/limpet-{number}.sock"
[stickiness_keys]
keys = [{{ id = 1, secret = "{self.secret}" }}]
"""
        stickiness = """
[target_group.stickiness]
enabled = true
type = "app_header"
app_header = "Mcp-Session-Id"
on_lost = 404
max_age = "7d"
"""
        for kind in KINDS:
            text += f"""
[[listener]]
name = "{kind}"
address = "127.0.0.1:{self.ports[kind][number]}"
forward = "{kind}"
timeouts = {{ content_idle = "5m", content_minimum_rate = "0B" }}
[[target_group]]
name = "{kind}"
algorithm = "round_robin"
health_check = {{ type = "http", path = "/health", interval = "5s", timeout = "5s" }}
timeouts = {{ connect = "{timeout}" }}
{stickiness if is_sticky else ""}"""
            for name, port in self.replicas.ports.items():
                if name.startswith(kind):
                    text += f"""
[[target_group.target]]
id = "{name}"
address = "127.0.0.1:{port}"
"""
        return text

    async def start(self):
        self.write(is_sticky=False)
        for number in range(self.COUNT):
            command = [self.stage.options.limpet, "run", "--config", f"limpet-{number}.toml"]
            self.processes.append(await self.stage.start(command, f"limpet-{number}"))
        await self.wait(healthy=self.stage.options.replicas * len(KINDS))

    def reload(self):
        self.reloads += 1
        self.write(is_sticky=True)
        for process in self.processes:
            process.send_signal(signal.SIGHUP)

    async def reload_again_and_again(self):
        while True:
            self.reload()
            await asyncio.sleep(RELOAD_SECONDS)

    async def ask(self, number, *words):
        command = [self.stage.options.limpet, "ctl", *words, "--json", "--admin"]
        process = await asyncio.create_subprocess_exec(
            *command,
            f"{self.stage.folder}/limpet-{number}.sock",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        answer, _ = await process.communicate()
        return json.loads(answer) if process.returncode == 0 else None

    async def until(self, what, condition):
        deadline = time.monotonic() + SAID_SECONDS_MAX
        while not all([await condition(number) for number in range(self.COUNT)]):
            if time.monotonic() > deadline:
                raise RuntimeError(f"limpet does not say that {what}; see {self.stage.folder}")
            await asyncio.sleep(0.1)

    async def wait(self, healthy):
        async def condition(number):
            answer = await self.ask(number, "targets")
            groups = answer["groups"] if answer else []
            return sum(group["health_summary"]["healthy"] for group in groups) == healthy

        await self.until(f"{healthy} targets are healthy", condition)

    async def stick(self):
        self.reload()

        async def condition(number):
            answers = [await self.ask(number, "stickiness", "get", kind) for kind in KINDS]
            return all(answer and answer["enabled"] for answer in answers)

        await self.until("stickiness is on", condition)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Clients:
    """One process of each client's SDK for each server's, with a share of the sessions."""

    def __init__(self, stage, balancers):
        self.stage, self.balancers, self.processes = stage, balancers, {}

    async def start(self, sessions, pairs=None, **options):
        pairs = pairs or [(client, server) for client in KINDS for server in KINDS]
        for number, (client, server) in enumerate(pairs):
            share = sessions // len(pairs) + (number < sessions % len(pairs))
            ports = self.balancers.ports[server]
            concurrency = self.stage.options.concurrency
            text = json.dumps(
                {"ports": ports, "sessions": share, "concurrency": concurrency} | options
            )
            command = [*self.stage.commands[client]("client"), text]
            self.processes[client, server] = await self.stage.start(command, f"{client}-client")

    async def seen(self):
        lines = await asyncio.gather(*map(self.stage.line, self.processes.values()))
        return dict(zip(self.processes, lines))

    async def go_on(self):
        for process in self.processes.values():
            process.stdin.write(b"\n")
            await process.stdin.drain()


def total(sessions, name):
    return sum(session[name] for session in sessions)


def missing(sessions, method):
    return sum(session["missing"][method] for session in sessions)


def troubles(sessions):
    """Anything but answers and 404."""
    kinds = collections.Counter()
    for session in sessions:
        kinds.update(text[:120] for text in session["errors"] + session["others"])
    return [f"{count} x {text}" for text, count in kinds.most_common(5)]


def unsealed(sessions):
    """Sessions that have sent, or got, another value than their id with one seal."""
    count = 0
    for session in sessions:
        values = session["sent"]
        ids = sorted(value.rpartition(".")[0] for value in values)
        count += values != session["received"] or ids != sorted(session["ids"])
    return count


class Table:
    """The expectations, and whether they were met."""

    def __init__(self):
        self.failed = 0

    def title(self, text):
        print(f"\n{text}", flush=True)

    def row(self, text, seen, is_met, expected=""):
        self.failed += not is_met
        expected = f"   (expected: {expected})" if expected and not is_met else ""
        print(f"  {'ok  ' if is_met else 'FAIL'} {text:<62} {seen}{expected}", flush=True)

    def exact(self, text, seen, expected):
        self.row(text, seen, seen == expected, expected)


class Trial:
    def __init__(self, stage):
        self.stage, self.options, self.table = stage, stage.options, Table()
        self.replicas = Replicas(stage)
        self.balancers = Balancers(stage, self.replicas)

    async def run(self):
        await self.replicas.start()
        await self.balancers.start()
        await self.without_stickiness()
        if not self.options.only_loss:
            await self.balancers.stick()
            await self.sessionless()
            await self.with_stickiness()
        return self.table.failed == 0

    async def without_stickiness(self):
        self.table.title("Without stickiness, round-robin")
        clients = Clients(self.stage, self.balancers)
        await clients.start(min(self.options.sessions, 40), calls=[self.options.calls])
        seen = await clients.seen()
        await clients.go_on()
        await clients.seen()
        for (client, server), sessions in seen.items():
            lost = sum(1 for session in sessions if session["missing"]["POST"] > 0)
            text = f"{client} client, {server} servers: sessions lost"
            self.table.row(text, f"{lost} of {len(sessions)}", lost > 0, "some")
            calls = len(sessions) * (self.options.calls + 1)
            answered = f"{total(sessions, 'answered')} of {calls} or more"
            self.table.row("    calls answered before that", answered, True)

    async def sessionless(self):
        self.table.title("With stickiness of the type app_header: requests without sessions")
        revision = "2026-07-28"
        trials = [
            ("by initialize", dict(), None),
            (f"revision {revision}", dict(revision=revision), [("python", "python")]),
        ]
        for name, more, pairs in trials:
            clients = Clients(self.stage, self.balancers)
            calls = [self.options.calls]
            await clients.start(40, pairs, calls=calls, sessionless=True, **more)
            seen = await clients.seen()
            await clients.go_on()
            await clients.seen()
            for (client, server), sessions in seen.items():
                self.is_balanced(f"{client} client, {server} servers, {name}", sessions)

    def is_balanced(self, who, sessions):
        replicas = [replica for session in sessions for replica in session["replicas"]]
        self.spread(f"{who}: calls", replicas)
        expected = len(sessions) * (self.options.calls + 1)
        self.table.exact(f"{who}: calls answered", total(sessions, "answered"), expected)
        named = [s for s in sessions if s["sent"] or s["received"] or set(s["ids"]) != {"none"}]
        self.table.exact("    with a session's field on either side", len(named), 0)
        self.table.exact("    troubles", troubles(sessions), [])

    def spread(self, text, replicas):
        counts = collections.Counter(replicas)
        least = len(replicas) / self.options.replicas / 2
        is_spread = len(counts) == self.options.replicas and min(counts.values()) >= least
        self.table.row(text, dict(sorted(counts.items())), is_spread, "spread over all replicas")

    async def with_stickiness(self):
        options = self.options
        clients = Clients(self.stage, self.balancers)
        later = max(3, options.calls // 4)
        began = time.monotonic()
        await clients.start(options.sessions, calls=[options.calls, later], again=True)
        reloads = asyncio.create_task(self.balancers.reload_again_and_again())
        before = self.balancers.reloads
        first = await clients.seen()
        reloads.cancel()
        seconds = time.monotonic() - began
        times = self.balancers.reloads - before
        self.table.title(
            f"{options.sessions} sessions of {options.calls} calls with a stream each, in "
            f"{seconds:.0f} s, with {times} reloads of both processes meanwhile"
        )
        for pair, sessions in first.items():
            self.is_kept(pair, sessions)
        killed = [f"{kind}-0" for kind in KINDS]
        for name in killed:
            await self.replicas.kill(name)
        if not options.hasty:
            await self.balancers.wait(healthy=(options.replicas - 1) * len(KINDS))
        await clients.go_on()
        after = await clients.seen()
        self.table.title(f"{' and '.join(killed)} killed, {later} calls more of every session")
        for pair, sessions in after.items():
            self.is_begun_anew(pair, sessions, killed)
        await clients.go_on()
        ended = await clients.seen()
        self.table.title("The end")
        for (client, server), sessions in ended.items():
            text = f"{client} client, {server} servers: sessions ended"
            self.table.exact(text, total(sessions, "ended"), len(sessions))

    def is_kept(self, pair, sessions):
        client, server = pair
        exact = self.table.exact
        self.spread(
            f"{client} client, {server} servers: sessions",
            [session["replicas"][0] for session in sessions if session["replicas"]],
        )
        counted = sum(s["count"] == self.options.calls and not s["gaps"] for s in sessions)
        exact("    whose counter went up by one to the last call", counted, len(sessions))
        exact("    begun once", sum(s["begun"] == 1 for s in sessions), len(sessions))
        exact("    answers or notifications of another replica", total(sessions, "foreign"), 0)
        told = sum(s["notifications"] > 0 for s in sessions)
        exact("    with a notification on the stream", told, len(sessions))
        exact("    whose client ever had another value than id and seal", unsealed(sessions), 0)
        exact("    404s to calls, to streams", lost(sessions), [0, 0])
        exact("    troubles", troubles(sessions), [])

    def is_begun_anew(self, pair, sessions, killed):
        client, server = pair
        exact = self.table.exact
        gone = [s for s in sessions if s["replicas"] and s["replicas"][0] in killed]
        others = [s for s in sessions if s not in gone]
        text = f"{client} client, {server} servers: sessions lost, begun anew"
        again = sum(s["begun"] == 2 and s["replicas"][-1] not in killed for s in gone)
        self.table.row(text, f"{len(gone)}, {again}", again == len(gone) > 0, "all of some")
        once = sum(s["missing"]["POST"] == 1 for s in gone)
        exact("    told by one 404 to a call", once, len(gone))
        self.table.row("    404s to their streams", lost(gone)[1], True)
        exact("    untouched", sum(s["begun"] == 1 for s in others), len(sessions) - len(gone))
        exact("    404s to calls and streams of the untouched", lost(others), [0, 0])
        exact("    calls that did not count up by one", total(sessions, "gaps"), 0)
        exact("    answers or notifications of another replica", total(sessions, "foreign"), 0)
        exact("    whose client ever had another value than id and seal", unsealed(sessions), 0)
        exact("    troubles", troubles(sessions), [])


def lost(sessions):
    return [missing(sessions, "POST"), missing(sessions, "GET")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--limpet", required=True, type=pathlib.Path, help="the program")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--replicas", type=int, default=3, help="of each SDK; two at least")
    parser.add_argument("--concurrency", type=int, default=8, help="calls at a time of each client")
    parser.add_argument("--minutes", type=float, default=20, help="the trial ends after so many")
    parser.add_argument("--folder", type=pathlib.Path, help="where packages and logs are kept")
    parser.add_argument("--only-loss", action="store_true", help="only without stickiness")
    parser.add_argument(
        "--hasty", action="store_true", help="call on before limpet has noticed what is killed"
    )
    return parser.parse_args()


async def perform(folder, options):
    stage = Stage(folder, options)
    stage.install()
    try:
        return await Trial(stage).run()
    except (RuntimeError, TimeoutError) as error:
        print(f"\nThe trial came to no end: {str(error) or 'it took too long'}")
        return None
    finally:
        await stage.end()


def main():
    options = arguments()
    options.limpet = str(options.limpet.resolve())
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        is_well = asyncio.run(perform(options.folder.resolve(), options))
    else:
        with tempfile.TemporaryDirectory(prefix="limpet-mcp-") as folder:
            is_well = asyncio.run(perform(pathlib.Path(folder), options))
    if is_well is None:
        sys.exit(1)
    print("\nEvery expectation was met." if is_well else "\nAn expectation was not met.")
    sys.exit(0 if is_well else 1)


main()

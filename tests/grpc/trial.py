#!/usr/bin/env python3
"""Calls by the official library of gRPC (grpcio) through limpet, in clear and under TLS.

    tests/grpc/trial.py --limpet target/debug/limpet [--seconds 60] [--folder FOLDER]

Two servers stand behind a group of gRPC, checked by the official health service. Told as a table:

1. Every kind of call, with its status, details, metadata and compression; cancellation and deadlines; many streams.
2. Retries of refused calls, and health that changes.
3. Innocents: unary calls and streams in both directions at full speed for so many seconds, and no GOAWAY.

The exit code is 1 when an expectation fails. Needs python3 with venv, PyPI and openssl. Packages, logs and
configuration live in a temporary folder, or in the one that --folder names, which is kept.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
BYTES_MAX = 64 << 20
PATIENCE_S = 20
NAMES = ("a", "b")


class Table:
    """The expectations, and whether they were met."""

    def __init__(self):
        self.failed = 0

    def title(self, text):
        print(f"\n{text}", flush=True)

    def row(self, text, seen, is_met, expected=""):
        self.failed += not is_met
        expected = f"   (expected: {expected})" if expected and not is_met else ""
        print(f"  {'ok  ' if is_met else 'FAIL'} {text:<56} {seen}{expected}", flush=True)

    def exact(self, text, seen, expected):
        shown = seen if len(repr(seen)) < 80 else f"{repr(seen)[:60]}…"
        self.row(text, shown, seen == expected, repr(expected)[:80])


class Stage:
    """The servers, limpet, and what a channel needs to reach it."""

    def __init__(self, folder, options):
        self.folder, self.options, self.processes = folder, options, []
        self.clear, self.secure, self.admin = free_ports(3)

    def start(self):
        ports = {name: self.server(name) for name in NAMES}
        self.certificate()
        targets = "".join(
            f'[[target_group.target]]\nid = "{name}"\naddress = "127.0.0.1:{port}"\n'
            for name, port in ports.items()
        )
        text = f"""
[process]
grace_period = "2s"
state_directory = "{self.folder}/state"
[access_log]
output = "{self.folder}/access.log"
[admin]
address = "127.0.0.1:{self.admin}"
[[listener]]
name = "clear"
address = "127.0.0.1:{self.clear}"
http2 = true
forward = "app"
limits.content = "0"
limits.requests_per_connection = 0
timeouts.content_minimum_rate = "0B"
[[listener]]
name = "secure"
address = "127.0.0.1:{self.secure}"
forward = "app"
limits.content = "0"
limits.requests_per_connection = 0
timeouts.content_minimum_rate = "0B"
[listener.tls]
certificates = [{{ chain = "{self.folder}/cert.pem", key = "{self.folder}/key.pem" }}]
alpn = ["h2", "http/1.1"]
[[target_group]]
name = "app"
protocol_version = "grpc"
retries.on = ["grpc:unavailable"]
[target_group.health_check]
type = "grpc"
grpc_service = "shop.Cart"
interval = "200ms"
rise = 1
fall = 1
{targets}"""
        path = self.folder / "limpet.toml"
        path.write_text(text)
        (self.folder / "state").mkdir(exist_ok=True)
        log = open(self.folder / "limpet.log", "ab")
        command = [self.options.limpet, "run", "--config", str(path)]
        self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        self.until("limpet is ready", lambda: len(self.healths()) == len(NAMES))

    def server(self, name):
        log = open(self.folder / f"server-{name}.log", "ab")
        command = [sys.executable, str(HERE / "server.py"), name]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True)
        self.processes.append(process)
        return int(process.stdout.readline())

    def certificate(self):
        command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        names = ["-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"]
        subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)

    def channel(self, is_secure=False):
        options = [
            ("grpc.max_receive_message_length", BYTES_MAX),
            # Its own connection, and what comes is not tried again by the client itself.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        ]
        if not is_secure:
            return grpc.insecure_channel(f"127.0.0.1:{self.clear}", options)
        trusted = grpc.ssl_channel_credentials((self.folder / "cert.pem").read_bytes())
        return grpc.secure_channel(f"localhost:{self.secure}", trusted, options)

    def ask(self, path):
        from urllib.request import urlopen

        with urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=PATIENCE_S) as answer:
            return answer.read().decode()

    def healths(self):
        """The health of each target, and why."""
        try:
            group = json.loads(self.ask("/v1/groups/app"))
        except OSError:
            return {}
        return {target["id"]: (target["health"], target["reason"]) for target in group["targets"]}

    def goaways(self):
        """GOAWAY frames, but for those by which limpet ends its idle connections to targets."""
        lines = re.findall(r"^limpet_http2_goaways_total\{(.*?)\} (\d+)$", self.ask("/metrics"), re.M)
        idle = 'side="target",direction="sent"'
        return {labels: int(count) for labels, count in lines if int(count) and labels != idle}

    def until(self, what, condition):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"it is not so that {what}; see {self.folder}")
            time.sleep(0.05)

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Calls:
    """The methods of the servers on one channel."""

    def __init__(self, channel):
        self.channel = channel

    def unary(self, method):
        return self.channel.unary_unary(f"/t.T/{method}")

    def down(self, count):
        return self.channel.unary_stream("/t.T/Down")(b"%d" % count)

    def up(self, messages):
        return self.channel.stream_unary("/t.T/Up")(messages)

    def chat(self, messages):
        return self.channel.stream_stream("/t.T/Chat")(messages)


def failure(call):
    """The error of a call that must fail."""
    try:
        return f"answered {call()!r}"
    except grpc.RpcError as error:
        return error


def kinds(table, calls):
    echo = calls.unary("Echo")
    table.exact("empty", echo(b""), b"")
    large = os.urandom(8 << 20)
    table.row("8 MiB there and back", len(large), echo(large) == large)
    table.exact("a stream down, 10000 messages", sum(1 for _ in calls.down(10_000)), 10_000)
    table.exact("a stream up, 5 MB", calls.up(iter([b"x" * 1000] * 5000)), b"5000000")
    answers = list(calls.chat(iter([b"abc"] * 2000)))
    table.exact("streams both ways, 2000 messages", set(answers) == {b"ABC"} and len(answers), 2000)
    gzip = grpc.Compression.Gzip
    table.exact("compressed", echo(b"gzip" * 10_000, compression=gzip), b"gzip" * 10_000)


def said(table, calls):
    error = failure(lambda: calls.unary("Fail")(b""))
    table.exact("a status", (error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "no such thing: ä\n"))
    status = rpc_status.from_call(failure(lambda: calls.unary("Details")(b"")))
    table.exact("details of a status", status.details[0].value, b"\0\xff" * 100)
    error = failure(lambda: calls.unary("Nothing")(b""))
    table.exact("an unknown method", error.code(), grpc.StatusCode.UNIMPLEMENTED)
    sent = [("own", "1"), ("own-bin", b"\0\xff\x01"), ("own", "2")]
    _, call = calls.unary("Echo").with_call(b"", metadata=sent)
    both = [call.initial_metadata(), call.trailing_metadata()]
    seen = [sorted((one.key, one.value) for one in fields if one.key.startswith("own")) for fields in both]
    # Values of one name may be joined on the way.
    expected = {"1, 2", "1", "2", b"\0\xff\x01"}
    table.row("metadata before and behind", seen[0], seen[0] == seen[1] and {v for _, v in seen[0]} <= expected)


def endings(table, calls):
    gone = lambda: b"yes" in [calls.unary("Gone")(b"2") for _ in NAMES]
    error = failure(lambda: calls.unary("Slow")(b"", timeout=0.5))
    table.exact("a deadline", error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    table.exact("    the server is told", gone(), True)
    slow = calls.unary("Slow").future(b"")
    time.sleep(0.2)
    slow.cancel()
    table.exact("a cancelled call", slow.cancelled(), True)
    table.exact("    the server is told", gone(), True)
    open_end = threading.Event()

    def until_told():
        yield b"first"
        open_end.wait(PATIENCE_S)

    chat = calls.chat(until_told())
    first = next(chat)
    chat.cancel()
    error = failure(lambda: next(chat))
    open_end.set()
    table.exact("a cancelled stream", (first, error.code()), (b"FIRST", grpc.StatusCode.CANCELLED))


def many(table, calls):
    echo = calls.unary("Echo")
    futures = [echo.future(b"%d" % number) for number in range(1000)]
    table.exact("1000 calls at once", [int(one.result()) for one in futures], list(range(1000)))
    held = threading.Event()

    def message():
        yield b"a"
        held.wait(PATIENCE_S)
        yield b"b"

    chats = [calls.chat(message()) for _ in range(100)]
    firsts = [next(chat) for chat in chats]
    held.set()
    rests = [list(chat) for chat in chats]
    table.exact("100 streams open at once", (set(firsts), rests), ({b"A"}, [[b"B"]] * 100))


def retried(table, stage, calls):
    served = {calls.unary("Refuse")(b"a") for _ in range(20)}
    refusals = sum(int(calls.unary("Refusals")(b"")) for _ in range(2))
    table.row("refused by one, answered by the other", served, served == {b"b"} and refusals > 0)
    metrics = stage.ask("/metrics")
    retries = int(re.search(r'limpet_group_retries_total\{group="app"\} (\d+)', metrics).group(1))
    table.row("    counted as retries", retries, retries > 0, "some")


def health(table, stage, calls):
    check = health_pb2_grpc.HealthStub(calls.channel).Check
    request = health_pb2.HealthCheckRequest(service="shop.Cart")
    serving = health_pb2.HealthCheckResponse.SERVING
    table.exact("the health service through limpet", check(request).status, serving)
    unknown = failure(lambda: check(health_pb2.HealthCheckRequest(service="nobody")))
    table.exact("    of an unknown service", unknown.code(), grpc.StatusCode.NOT_FOUND)
    stage.until("both are healthy", lambda: all(h == "healthy" for h, _ in stage.healths().values()))
    calls.unary("Health")(b"NOT_SERVING")
    down = lambda: [name for name, (health, _) in stage.healths().items() if health == "unhealthy"]
    stage.until("one is unhealthy", down)
    [name] = down()
    reason = stage.healths()[name][1]
    table.row("a service that serves no more", reason, "NOT_SERVING" in reason, "NOT_SERVING")
    others = {calls.unary("Who")(b"").decode() for _ in range(10)}
    table.exact("    calls go to the other", others, set(NAMES) - {name})


def innocents(table, stage, calls, seconds):
    """Full speed: unary calls of one channel, streams both ways of another."""
    deadline = time.monotonic() + seconds
    counts, errors = {"unary": 0, "messages": 0}, []

    def guarded(work):
        def run():
            try:
                work()
            except grpc.RpcError as error:
                errors.append(f"{error.code()} {error.details()}")

        return threading.Thread(target=run)

    def unary(calls):
        echo = calls.unary("Echo")
        while time.monotonic() < deadline:
            futures = [echo.future(b"a" * 20) for _ in range(50)]
            counts["unary"] += sum(len(one.result()) == 20 for one in futures)

    def endless():
        while time.monotonic() < deadline:
            yield b"a" * 50

    def chat(calls):
        for _ in calls.chat(endless()):
            counts["messages"] += 1

    other = Calls(stage.channel())
    works = [lambda: unary(calls), lambda: chat(other), lambda: chat(other), lambda: unary(other)]
    threads = [guarded(work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table.row(f"in {seconds:.0f} s", counts, min(counts.values()) > 100 * min(seconds, 5), "many")
    table.exact("    calls that failed", errors[:3], [])
    table.exact("    GOAWAY, sent or received", stage.goaways(), {})


def trial(stage, table):
    for is_secure in (False, True):
        calls = Calls(stage.channel(is_secure))
        table.title("Calls under TLS" if is_secure else "Calls in clear")
        for rows in (kinds, said, endings, many):
            rows(table, calls)
    calls = Calls(stage.channel())
    table.title("Retries and health")
    retried(table, stage, calls)
    table.title("Innocents")
    innocents(table, stage, calls, stage.options.seconds)
    table.title("Health")
    health(table, stage, calls)
    table.exact("GOAWAY in all", stage.goaways(), {})


def in_environment(folder):
    """Goes on in an environment that has the packages."""
    python = folder / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True)
    return subprocess.run([python, *sys.argv, "--folder", folder, "--installed"]).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--limpet", required=True, type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--folder", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--installed", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.folder or pathlib.Path(tempfile.mkdtemp(prefix="limpet-grpc-"))
    folder.mkdir(exist_ok=True)
    if not options.installed:
        code = in_environment(folder)
        if options.folder is None and code == 0:
            shutil.rmtree(folder)
        sys.exit(code)
    stage, table = Stage(folder, options), Table()
    try:
        stage.start()
        trial(stage, table)
    finally:
        stage.end()
    print(f"\n{'all is as expected' if table.failed == 0 else f'{table.failed} FAILED; see {folder}'}")
    sys.exit(table.failed != 0)


try:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_status import rpc_status
except ImportError:
    # The environment that has them is made first.
    pass

if __name__ == "__main__":
    main()

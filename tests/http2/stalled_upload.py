#!/usr/bin/env python3
"""What an upload that its target does not take costs the 31 other streams of its connection: their latencies, alone and
beside it, in turns.

    tests/http2/stalled_upload.py LIMPET LOADTEST [WINDOWS [REQUESTS]]

LIMPET and LOADTEST are the two programs, built for release. 10 windows of each kind with 10 000 requests, if it is not
said. The upload fills its whole window, which limpet has grown before, and stays so. Prints the medians of the windows'
p50 and p99; ends with 0 when every request was answered.
"""

import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

LIMPET, LOADTEST = sys.argv[1:3]
WINDOWS = int(sys.argv[3]) if len(sys.argv) > 3 else 10
REQUESTS = int(sys.argv[4]) if len(sys.argv) > 4 else 10_000
STREAMS = 31
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
FRAME_BYTES = 16_384


def frame(kind, flags, stream, payload=b""):
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


def head(method, path):
    """A field block: indexed where the static table has it, else literals that no table gets."""
    text = lambda value: bytes([len(value)]) + value
    return bytes([0x82 if method == "GET" else 0x83, 0x86]) + b"\x04" + text(path) + b"\x01" + text(b"limpet.test")


class Connection:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))
        self.received = b""
        self.next = 1
        # What may be sent: by stream; 0 is the connection.
        self.windows = {0: 65_535}

    def open(self, method, path):
        stream, self.next = self.next, self.next + 2
        self.windows[stream] = 65_535
        flags = END_HEADERS | (END_STREAM if method == "GET" else 0)
        return stream, frame(HEADERS, flags, stream, head(method, path))

    def frames(self):
        """The frames that have come; waits for some."""
        self.received += self.socket.recv(262_144)
        at, found = 0, []
        while len(self.received) - at >= 9:
            length = int.from_bytes(self.received[at : at + 3], "big")
            if len(self.received) - at < 9 + length:
                break
            kind, flags = self.received[at + 3], self.received[at + 4]
            stream = int.from_bytes(self.received[at + 5 : at + 9], "big")
            payload = self.received[at + 9 : at + 9 + length]
            at += 9 + length
            if kind == WINDOW_UPDATE:
                self.windows[stream] = self.windows.get(stream, 0) + int.from_bytes(payload, "big")
            elif kind == PING and not flags & ACK:
                self.socket.sendall(frame(PING, ACK, 0, payload))
            elif kind in (RST_STREAM, GOAWAY):
                raise SystemExit(f"frame {kind} on stream {stream}: {payload!r}")
            else:
                found.append((kind, flags, stream, payload))
        self.received = self.received[at:]
        return found

    def fill(self, stream):
        """Sends content until nothing more of it is taken for half a second; how much that was."""
        sent, since = 0, time.monotonic()
        self.socket.settimeout(0.1)
        while time.monotonic() - since < 0.5:
            room = min(self.windows[0], self.windows[stream], FRAME_BYTES)
            if room > 0:
                self.socket.sendall(frame(DATA, 0, stream, bytes(room)))
                self.windows[0] -= room
                self.windows[stream] -= room
                sent, since = sent + room, time.monotonic()
                continue
            try:
                self.frames()
            except TimeoutError:
                pass
        self.socket.settimeout(20)
        return sent

    def ask(self, count):
        """Keeps as many streams going until so many are answered; their latencies in seconds, in order."""
        began, took, asked = {}, [], 0
        more = lambda: self.open("GET", b"/")
        while len(took) < count:
            batch = []
            while len(began) < STREAMS and asked < count:
                stream, bytes_ = more()
                began[stream] = time.perf_counter()
                batch.append(bytes_)
                asked += 1
            if batch:
                self.socket.sendall(b"".join(batch))
            read = 0
            for kind, flags, stream, payload in self.frames():
                read += len(payload) if kind == DATA else 0
                if kind == HEADERS and payload[:1] != b"\x88":
                    raise SystemExit(f"no 200 on stream {stream}: {payload!r}")
                if kind in (HEADERS, DATA) and flags & END_STREAM:
                    took.append(time.perf_counter() - began.pop(stream))
                    del self.windows[stream]
            if read:
                self.socket.sendall(frame(WINDOW_UPDATE, 0, 0, read.to_bytes(4, "big")))
        return sorted(took)


def config(directory, responder, unread):
    return f"""
[process]
shards = 1
state_directory = "{directory}/state"
[access_log]
output = "off"
[[listener]]
name = "web"
address = "127.0.0.1:0"
http2 = true
limits.requests_per_connection = 0
forward = "app"
[[listener.rule]]
priority = 1
when.path = ["/upload"]
forward = "unread"
[[target_group]]
name = "app"
target = [{{ id = "a", address = "{responder}" }}]
[[target_group]]
name = "unread"
timeouts = {{ content_idle = "10m", response = "10m" }}
target = [{{ id = "a", address = "{unread}" }}]
"""


def main(directory, started):
    said = subprocess.Popen([LOADTEST, "respond", "--address", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    started.append(said)
    responder = said.stdout.readline().split()[-1]
    unread = socket.create_server(("127.0.0.1", 0))
    unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    address = f"127.0.0.1:{unread.getsockname()[1]}"
    (directory / "limpet.toml").write_text(config(directory, responder, address))
    ready = directory / "ready"
    limpet = subprocess.Popen(
        [LIMPET, "run", "--config", str(directory / "limpet.toml")],
        env={"LIMPET_READY_FILE": str(ready), "NO_COLOR": "1"},
    )
    started.append(limpet)
    until = time.monotonic() + 20
    while not (ready.exists() and ready.read_text()):
        if time.monotonic() > until:
            raise SystemExit("limpet does not begin")
        time.sleep(0.05)
    web = next(line.split()[1] for line in ready.read_text().splitlines() if line.startswith("web "))

    quiet, busy = Connection(web), Connection(web)
    stream, opened = busy.open("POST", b"/upload")
    busy.socket.sendall(opened)
    print(f"the upload stands at {busy.fill(stream)} bytes, its window at {busy.windows[stream]}")
    found = {"alone": [], "beside it": []}
    for connection in (quiet, busy):
        connection.ask(REQUESTS)
    for _ in range(WINDOWS):
        for name, connection in (("alone", quiet), ("beside it", busy)):
            took = connection.ask(REQUESTS)
            found[name].append([took[int(len(took) * part)] * 1e6 for part in (0.5, 0.99)])
    for name, windows in found.items():
        p50, p99 = (statistics.median(window[at] for window in windows) for at in (0, 1))
        least, most = (pick(window[1] for window in windows) for pick in (min, max))
        print(f"{name}: p50 {p50:.0f} µs, p99 {p99:.0f} µs [{least:.0f} to {most:.0f}]")
    if busy.windows[stream] != 0:
        raise SystemExit("the upload was taken")


if __name__ == "__main__":
    started = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            main(pathlib.Path(folder), started)
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()

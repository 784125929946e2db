#!/usr/bin/env python3
"""A target of HTTP/1.1 for tests/http2/trial.sh: it tells what it was sent, and sends what can be checked.

    tests/http2/target.py BIG

Prints its address when it listens. BIG is the file that is downloaded.

    POST /files/sum        the SHA-256 of the content, in hexadecimal; X-Told is the trailer X-Said of the request
    GET  /files/big        BIG
    GET  /files/trailers   BIG in chunks, its SHA-256 behind it in the trailer X-Sum
    GET  /files/nothing    204
"""

import hashlib
import http.server
import pathlib
import sys

BIG = pathlib.Path(sys.argv[1]).read_bytes()
PIECE_BYTES = 64 * 1024


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Heads go out with the content behind them, and nothing waits for more.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def pieces(self):
        """The request's content; behind chunks its trailers are kept."""
        self.trailers = {}
        left = int(self.headers.get("Content-Length", 0))
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            while left > 0:
                piece = self.rfile.read(min(left, PIECE_BYTES))
                if not piece:
                    raise EOFError
                left -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while line := self.rfile.readline().decode().strip():
            name, value = line.split(":", 1)
            self.trailers[name.lower()] = value.strip()

    def answer(self, status, content, *fields):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self):
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        said = self.trailers.get("x-said", "nothing")
        self.answer(200, digest.hexdigest().encode() + b"\n", ("X-Told", said))

    def do_GET(self):
        match self.path:
            case "/files/big":
                self.answer(200, BIG, ("Content-Type", "application/octet-stream"))
            case "/files/nothing":
                self.answer(204, b"")
            case "/files/trailers":
                self.answer_with_trailers()
            case _:
                self.answer(404, b"")

    do_HEAD = do_GET

    def answer_with_trailers(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Sum")
        self.end_headers()
        for start in range(0, len(BIG), PIECE_BYTES):
            piece = BIG[start : start + PIECE_BYTES]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\nX-Sum: %b\r\n\r\n" % hashlib.sha256(BIG).hexdigest().encode())


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
print(f"127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()

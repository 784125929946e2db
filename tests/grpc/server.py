"""A server of gRPC for the trial: `server.py NAME`. Prints its port; ends with its input.

Messages of its service `t.T` are plain bytes; beside it stands the official health service, with the health of
`shop.Cart`.
"""

import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

BYTES_MAX = 64 << 20
OPTIONS = [("grpc.max_receive_message_length", BYTES_MAX), ("grpc.so_reuseport", 0)]


class Handler(grpc.GenericRpcHandler):
    def __init__(self, name, health):
        self.name, self.health = name.encode(), health
        self.cancelled = threading.Semaphore(0)
        self.refusals = 0
        unary = grpc.unary_unary_rpc_method_handler
        self.methods = {
            "Echo": unary(self.echo),
            "Who": unary(lambda request, context: self.name),
            "Fail": unary(self.fail),
            "Details": unary(self.details),
            "Slow": unary(self.slow),
            "Gone": unary(self.gone),
            "Refuse": unary(self.refuse),
            "Refusals": unary(lambda request, context: b"%d" % self.refusals),
            "Health": unary(self.set_health),
            "Down": grpc.unary_stream_rpc_method_handler(self.down),
            "Up": grpc.stream_unary_rpc_method_handler(self.up),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
        }

    def service(self, details):
        service, method = details.method.lstrip("/").split("/")
        return self.methods.get(method) if service == "t.T" else None

    def echo(self, request, context):
        """The message, and the fields that begin with "own" before and behind it."""
        fields = [one for one in context.invocation_metadata() if one.key.startswith("own")]
        context.send_initial_metadata(fields)
        context.set_trailing_metadata(fields)
        return request

    def fail(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ä\n")

    def details(self, request, context):
        detail = any_pb2.Any(type_url="t/Detail", value=b"\0\xff" * 100)
        status = status_pb2.Status(code=code_pb2.ABORTED, message="with details", details=[detail])
        context.abort_with_status(rpc_status.to_status(status))

    def slow(self, request, context):
        """Waits until its client has gone, which Gone tells."""
        context.add_callback(self.cancelled.release)
        while context.is_active():
            time.sleep(0.01)
        return b""

    def gone(self, request, context):
        return b"yes" if self.cancelled.acquire(timeout=float(request)) else b"no"

    def refuse(self, request, context):
        """Refuses on the server that the request names, in trailers only, and answers on the others."""
        if request == self.name:
            self.refusals += 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "too busy")
        return self.name

    def down(self, request, context):
        for number in range(int(request)):
            yield b"%d" % number

    def up(self, requests, context):
        return b"%d" % sum(map(len, requests))

    def chat(self, requests, context):
        for request in requests:
            yield request.upper()

    def set_health(self, request, context):
        status = health_pb2.HealthCheckResponse.ServingStatus.Value(request.decode())
        self.health.set("shop.Cart", status)
        return b""


def main():
    servicer = health.HealthServicer()
    handler = Handler(sys.argv[1], servicer)
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("shop.Cart", health_pb2.HealthCheckResponse.SERVING)
    server = grpc.server(futures.ThreadPoolExecutor(256), options=OPTIONS)
    server.add_generic_rpc_handlers((handler,))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0)


main()

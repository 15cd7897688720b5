#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""registry_server.py: a registry on loopback that does wrong, in the way that the repository's name says.

Prints its port. Plain http; ends when standard input does. A second port is another host: whoever brings Authorization
there is refused.
"""
import hashlib
import http.server
import json
import socket
import sys
import threading

BLOB = bytes((i * 7 + i // 251) % 256 for i in range(300000))
CONFIG = b'{"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
asked = {}
ports = []


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def manifest(layers=1):
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha(BLOB), "size": len(BLOB)}
    return json.dumps({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(CONFIG), "size": len(CONFIG)},
        "layers": [layer] * layers,
    }).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def handle(self):
        # what speaks TLS is told at once that nobody here does
        if self.connection.recv(1, socket.MSG_PEEK) == b"\x16":
            self.connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            self.connection.close()
            return
        try:
            super().handle()
        except OSError:
            pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def count(self, what):
        asked[what] = asked.get(what, 0) + 1
        return asked[what]

    def challenge(self, mode):
        self.answer(401, WWW_Authenticate='Bearer realm="http://127.0.0.1:%d/token",service="here",scope="%s"' % (ports[0], mode))

    def half(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:len(body) // 2])
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def do_GET(self):
        try:
            self.get()
        except OSError:
            self.close_connection = True

    def get(self):
        if self.server.server_address[1] != ports[0]:
            return self.answer(403 if self.headers["Authorization"] else 200, BLOB)
        if self.path.startswith("/token"):
            mode = self.path.split("scope=")[1]
            if mode == "token_large":
                return self.answer(200, b'{"token":"' + b"x" * 100000 + b'"}')
            return self.answer(200, json.dumps({"token": "token%d" % self.count(mode), "expires_in": 300}).encode())
        _, _, mode, kind, name = self.path.split("/")
        authorization = self.headers["Authorization"]
        if mode in ("expired", "foreign", "token_large", "refusing") and not authorization:
            return self.challenge(mode)
        if mode == "refusing":
            return self.challenge(mode)
        if mode == "basic" and authorization != "Basic dXNlcjpwYXNz":
            return self.answer(401, WWW_Authenticate='Basic realm="here"')
        if kind == "manifests":
            return self.get_manifest(mode, name)
        return self.get_blob(mode, authorization)

    def get_manifest(self, mode, name):
        if mode == "loop":
            return self.answer(307, Location=self.path)
        if mode == "many":
            return self.answer(200, manifest(10000))
        if mode == "large":
            return self.answer(200, b" " * (5 << 20))
        if mode == "flaky" and self.count("flaky") < 3:
            return self.answer(503)
        if mode == "down":
            return self.answer(500)
        if mode == "schema1":
            return self.answer(200, b'{"schemaVersion":1}', Content_Type="application/vnd.docker.distribution.manifest.v1+prettyjws")
        if mode == "absent":
            return self.answer(404)
        if mode == "index":
            return self.answer(200, self.index()) if name == "latest" else self.answer(200, manifest())
        return self.answer(200, manifest())

    def index(self):
        kinds = [("s390x", "0" * 64), ("amd64", sha(manifest())[7:]), ("arm64", sha(manifest())[7:])]
        return json.dumps({"schemaVersion": 2, "manifests": [
            {"mediaType": "application/vnd.docker.distribution.manifest.v2+json", "digest": "sha256:" + digest, "size": len(manifest()),
             "platform": {"os": "linux", "architecture": architecture}} for architecture, digest in kinds]}).encode()

    def get_blob(self, mode, authorization):
        span = self.headers["Range"]
        if mode == "corrupt":
            return self.answer(200, BLOB[:-1] + b"!")
        if mode == "expired" and authorization == "Bearer token1":
            return self.challenge(mode)
        if mode == "foreign":
            return self.answer(307, Location="http://127.0.0.1:%d/there" % ports[1])
        if mode == "longer":
            return self.answer(200, BLOB + b"more")
        if mode == "short":
            return self.half(BLOB)
        if mode in ("resume", "norange") and self.count(mode) == 1:
            return self.half(BLOB)
        if mode == "resume":
            if not span:
                return self.answer(400)
            start = int(span.split("=")[1].rstrip("-"))
            return self.answer(206, BLOB[start:], Content_Range="bytes %d-%d/%d" % (start, len(BLOB) - 1, len(BLOB)))
        return self.answer(200, BLOB)


def main():
    for _ in range(2):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        ports.append(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write("%d\n" % ports[0])
    sys.stdout.flush()
    sys.stdin.read()


main()

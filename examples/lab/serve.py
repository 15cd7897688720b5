# SPDX-License-Identifier: Apache-2.0
"""Reads handwritten digits for others: GET /N answers what held-out image N shows, as the nearest mean image reads it."""
import http.server
import json
import socketserver

import numpy as np

import digits

images, labels, unseen, unseen_labels = digits.load()
means = np.stack([images[labels == digit].mean(axis=0) for digit in range(10)])


class Reader(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        number = self.path.strip("/") or "0"
        if not number.isascii() or not number.isdigit() or int(number) >= len(unseen):
            self.send_error(404, f"there are images 0 to {len(unseen) - 1}")
            return
        n = int(number)
        read = int(((means - unseen[n]) ** 2).sum(axis=1).argmin())
        body = json.dumps({"image": n, "read": read, "label": int(unseen_labels[n])}).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        print(self.client_address[0], words[0] % words[1:], flush=True)


class Server(socketserver.ThreadingTCPServer):      # http.server's own would ask for this machine's name first
    allow_reuse_address = daemon_threads = True


with Server(("", 8501), Reader) as server:
    print("reading digits on port 8501", flush=True)
    server.serve_forever()

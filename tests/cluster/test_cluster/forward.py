# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP forwarder: what listens on 127.0.0.1 becomes reachable on one more address, for pods."""

from __future__ import annotations

import argparse
import contextlib
import socket
import socketserver
import threading


class Forwarder:
    """``with Forwarder(address, target):`` passes connections to ``address:port`` on to 127.0.0.1:target.

    :param port: where to listen; 0 takes a free one.
    """

    def __init__(self, address: str, target: int, port: int = 0) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", target)) as upstream:
                    back = threading.Thread(target=_copy, args=(upstream, self.request), daemon=True)
                    back.start()
                    _copy(self.request, upstream)
                    back.join()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server((address, port), Handler)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Forwarder:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve_forever(self) -> None:
        self._server.serve_forever()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until the source ends; then so does the target's incoming side, as with a direct connection."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("target", type=int)
    parser.add_argument("port", type=int)
    Forwarder(**vars(parser.parse_args())).serve_forever()

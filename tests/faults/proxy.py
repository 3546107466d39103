"""A tracking server that goes away: a proxy in front of the real one, which answers as it is told."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Literal

Mode = Literal["pass", "slow", "error", "silent"]
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops"


class Proxy:
    """Passes connections on to a server, at once or after a while, answers 500, or never answers.

    Changing the mode cuts what is open.

    Attributes:
        port: Where it listens.
        asked: When connections were made, nanoseconds on the machine's monotonic clock, which turns are on too.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode: Mode = "pass"
        self._delay_s = 0.0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[int] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def become(self, mode: Mode, delay_s: float = 0.0) -> None:
        """Answer so from now on; ``slow`` passes a connection on when so many seconds have gone by."""
        self._mode, self._delay_s = mode, delay_s
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.become("silent")

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.asked.append(time.monotonic_ns())
                self._open.append(connection)
                serve = threading.Thread(target=self._serve, args=(connection, self._mode, self._delay_s), daemon=True)
                serve.start()

    def _serve(self, connection: socket.socket, mode: Mode, delay_s: float) -> None:
        with suppress(OSError), connection:
            if mode == "silent":
                connection.recv(1)
                threading.Event().wait(60)
            elif mode == "error":
                connection.recv(65536)
                connection.sendall(_ERROR)
            else:
                if mode == "slow":
                    threading.Event().wait(delay_s)
                if connection in self._open:  # what was cut meanwhile never reaches the server
                    self._pass(connection)

    def _pass(self, connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            self._open.append(server)
            back = threading.Thread(target=_copy, args=(server, connection), daemon=True)
            back.start()
            _copy(connection, server)
            back.join(60)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

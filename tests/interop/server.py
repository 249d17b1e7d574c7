"""A server for the wire format, written without a look at framing.ts.

    python3 server.py

Prints its port, sends the first client on loopback 20 messages whose length
varies, as that of the original activity's did, and leaves the connection open
until its standard input ends.
"""

import socket
import sys
import time

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    connection, _ = listener.accept()
    with connection:
        for number in range(20):
            # 26 to 30 bytes: repr drops trailing zeros. And some beyond ASCII.
            text = f"The time is {round(time.time(), number % 7)!r}" + "é" * (number % 3)
            payload = text.encode("utf-8")
            connection.sendall(f"{len(payload):<10}".encode("ascii") + payload)
            print(text, flush=True)
        sys.stdin.read()

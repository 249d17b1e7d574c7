"""A pair of processes in Python, as courses teach them: a send for each
message, a recv of 16 bytes, and text that grows until a message is whole.

    python3 pair.py send LENGTH COUNT
    python3 pair.py send time COUNT
    python3 pair.py receive LENGTH PORT

With "time", every message is "The time is ...", as it is in the activity.
"""

import socket
import sys
import time

HEADER_LENGTH = 10


def send(length, count):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        print(f"Listening on 127.0.0.1:{port}", file=sys.stderr, flush=True)
        connection, _ = listener.accept()
    with connection:
        message = "" if length == "time" else "a" * int(length)
        for _ in range(count):
            if length == "time":
                message = f"The time is {time.time():.6f}"
            frame = f"{len(message):<{HEADER_LENGTH}}" + message
            connection.sendall(frame.encode())


def receive(port):
    messages = 0
    size = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        start = time.perf_counter()
        text = ""
        while part := connection.recv(16):
            size += len(part)
            text += part.decode()
            while len(text) >= HEADER_LENGTH:
                end = HEADER_LENGTH + int(text[:HEADER_LENGTH])
                if len(text) < end:
                    break
                messages += 1
                text = text[end:]
        seconds = time.perf_counter() - start
    print(f"{messages} messages, {size} bytes in {seconds} s", file=sys.stderr)


if sys.argv[1] == "send":
    send(sys.argv[2], int(sys.argv[3]))
else:
    receive(int(sys.argv[3]))

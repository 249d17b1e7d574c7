"""A client for the wire format, written without a look at framing.ts.

    python3 client.py PORT

Prints every payload that a server on loopback sends, one per line, and exits
with 1 if the stream is bad.
"""

import re
import socket
import sys


def read_exactly(stream, size):
    data = stream.read(size)  # A buffered reader: less only at the end.
    if len(data) < size:
        sys.exit(f"the stream ended after {len(data)} of {size} bytes")
    return data


with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    stream = connection.makefile("rb")
    while stream.peek(1):
        header = read_exactly(stream, 10)
        if not re.fullmatch(rb"(0|[1-9][0-9]*) *", header):
            sys.exit(f"{header} is no header")
        print(read_exactly(stream, int(header)).decode("utf-8"))

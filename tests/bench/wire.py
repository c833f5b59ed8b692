# SPDX-License-Identifier: Apache-2.0
"""Prepared Kafka requests over one plain connection: the same bytes again and again, so that only the broker is measured."""
import socket
import struct


def crc32c(data):
    """Castagnoli's CRC, bit by bit: it is computed for one small batch."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(number):
    """Zigzag varint of a small number that is not negative."""
    number <<= 1
    out = b''
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def text(value):
    """A string with its length."""
    return struct.pack('>h', len(value)) + value.encode()


def batch(value):
    """A record batch of one record without a producer id."""
    record = b'\0' + varint(0) + varint(0) + b'\1' + varint(len(value)) + value + varint(0)
    record = varint(len(record)) + record
    now_ms = 1_700_000_000_000
    rest = struct.pack('>hiqqqhii', 0, 0, now_ms, now_ms, -1, -1, -1, 1) + record
    body = struct.pack('>ibI', -1, 2, crc32c(rest)) + rest
    return struct.pack('>qi', 0, len(body)) + body


def frame(key, version, body):
    """A request with header version 1 and correlation 1."""
    rest = struct.pack('>hhi', key, version, 1) + text('bench') + body
    return struct.pack('>i', len(rest)) + rest


def produce(topic, value, acks):
    """Produce version 7 of one record to partition 0."""
    records = batch(value)
    body = struct.pack('>hhi', -1, acks, 30000) + struct.pack('>i', 1) + text(topic) + struct.pack('>i', 1)
    return frame(0, 7, body + struct.pack('>ii', 0, len(records)) + records)


def fetch(topic, offset, max_bytes):
    """Fetch version 11 from partition 0, answered at once when there is anything."""
    body = struct.pack('>iiiibii', -1, 500, 1, 1 << 20, 0, 0, -1) + struct.pack('>i', 1) + text(topic)
    body += struct.pack('>i', 1) + struct.pack('>iiqqi', 0, -1, offset, -1, max_bytes)
    return frame(1, 11, body + struct.pack('>i', 0) + text(''))


class Connection:
    """Sends one request at a time and reads its answer."""

    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request):
        """One round trip; the answer without its length."""
        self.socket.sendall(request)
        answer = self.socket.recv(65536)
        size = 4 + struct.unpack('>i', answer[:4])[0]
        while len(answer) < size:
            answer += self.socket.recv(65536)
        return answer[4:]

    def repeat(self, request, count):
        """The same request `count` times; every answer has the length of the first."""
        first = len(self.exchange(request))
        for _ in range(count - 1):
            assert len(self.exchange(request)) == first, 'the answers differ'


def produce_error(answer, topic):
    """The error code in the answer to produce()."""
    return struct.unpack('>h', answer[4 + 4 + 2 + len(topic) + 4 + 4:][:2])[0]


def fetch_bytes(answer, topic):
    """(error code, bytes of records) in the answer to fetch()."""
    at = 4 + 4 + 2 + 4 + 4 + 2 + len(topic) + 4 + 4
    error = struct.unpack('>h', answer[at:at + 2])[0]
    at += 2 + 8 + 8 + 8
    aborted = struct.unpack('>i', answer[at:at + 4])[0]
    at += 4 + 16 * max(0, aborted) + 4
    return error, struct.unpack('>i', answer[at:at + 4])[0]

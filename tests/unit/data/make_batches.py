#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden record batches of this folder with python3-kafka's encoder, an implementation that is not ours.

Run it here; it writes batch_<name>.inc, each a list of C byte literals. The records are those of golden_records() in
tests/unit/batch_golden.h, in the same order.
"""

import pathlib

from kafka.record.default_records import DefaultRecordBatchBuilder

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
BASE_MS = 1700000000000

RECORDS = [
    (BASE_MS, b"key-0", b"value-0", []),
    (BASE_MS + 5, None, b"no key", []),
    (BASE_MS - 7, b"tombstone", None, []),
    (BASE_MS + 1000, b"", b"", [("trace", b"\x00\x01\xff"), ("none", None), ("", b"")]),
    (BASE_MS + 70000, b"long", b"0123456789abcdef" * 40, []),
]


def build(codec, **identity):
    fields = dict(is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1)
    fields.update(identity)
    builder = DefaultRecordBatchBuilder(2, codec, batch_size=1 << 20, **fields)
    for offset, (timestamp, key, value, headers) in enumerate(RECORDS):
        assert builder.append(offset, timestamp, key, value, headers) is not None
    return bytes(builder.build())


def write(name, data):
    rows = [", ".join("0x%02x" % b for b in data[i:i + 16]) for i in range(0, len(data), 16)]
    head = "/* SPDX-License-Identifier: Apache-2.0 */\n/* Written by make_batches.py. */\n"
    path = pathlib.Path(__file__).with_name("batch_%s.inc" % name)
    path.write_text(head + ",\n".join(rows) + ",\n")


for codec_name, number in CODECS.items():
    write(codec_name, build(number))
write("identity", build(0, is_transactional=1, producer_id=0x123456789, producer_epoch=7, base_sequence=99))

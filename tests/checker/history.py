# SPDX-License-Identifier: Apache-2.0
"""Writes histories of real processes in the format of history.h, one file per client, for sluice-check.

    history = History(path, client=3, seed=0)
    history.invoke('produce', process=3, key=(1, 0), value=(3, 17))
    history.ok('produce', process=3, key=(1, 0), value=(3, 17), offset=42, node=2)

A file may be written by several threads of one process. Times are CLOCK_MONOTONIC in microseconds, which all processes of a machine
share. What each op needs is said in history.h.
"""
import os
import struct
import threading
import time

MAGIC, VERSION = b'SLHISTRY', 1
HEADER = struct.Struct('<8sHHIQ8x')
RECORD = struct.Struct('<BBBBiqIiIiIiQqQI4xqq')

TYPES = ('invoke', 'ok', 'fail', 'info')
OPS = ('produce', 'poll', 'sample', 'commit', 'committed', 'txn-begin', 'txn-commit', 'txn-abort', 'admin', 'assign', 'revoke', 'seek',
       'trim', 'metadata', 'replica', 'image', 'entry', 'health', 'fault', 'beat')
WHATS = ('latest', 'high-watermark', 'last-stable', 'log-start', 'set', 'get', 'create', 'delete', 'leader', 'isr', 'joined', 'held', 'batch')
FLAGS = {'final': 0x01, 'uncommitted': 0x02, 'may-repeat': 0x04, 'may-be-lost': 0x08, 'denied': 0x10, 'unclean': 0x20, 'compacted': 0x40,
         'over': 0x80}
NOWHERE = (0, -1)


def now_us():
    """The time of records."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def pack(kind, op, process, time_us, key=NOWHERE, what=None, flags=(), value=(0, 0), offset=-1, epoch=-1, node=-1, call=0, txn=0,
         group=0, error=0, arg=0, arg2=0):
    """The bytes of one record. key: (topic number from 1, partition); value: (writer from 1, counter)."""
    bits = 0
    for flag in flags:
        bits |= FLAGS[flag]
    return RECORD.pack(TYPES.index(kind) + 1, OPS.index(op) + 1, WHATS.index(what) + 1 if what else 0, bits, error, time_us, process, node,
                       call, epoch, key[0], key[1], value[0] << 32 | value[1], offset, txn, group, arg, arg2)


class History:
    """One client's file; its time never goes back. Use it as a context, or close() it. What was written before a crash of the
    process stays: every record reaches the file at once."""

    def __init__(self, path, client, seed=0):
        self.lock = threading.Lock()
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.write(self.file, HEADER.pack(MAGIC, VERSION, RECORD.size, client, seed))

    def add(self, kind, op, process, **fields):
        """Appends one record with the time of now."""
        with self.lock:
            record = pack(kind, op, process, now_us(), **fields)
            if os.write(self.file, record) != len(record):
                raise OSError('the history could not be written')

    def invoke(self, op, process, **fields):
        """A call begins. Write this before the request can leave."""
        self.add('invoke', op, process, **fields)

    def ok(self, op, process, **fields):
        """A call has succeeded; or something that is no call was seen."""
        self.add('ok', op, process, **fields)

    def fail(self, op, process, **fields):
        """A call certainly did not happen and will not."""
        self.add('fail', op, process, **fields)

    def info(self, op, process, **fields):
        """Nobody knows whether a call happened: time-out, broken connection."""
        self.add('info', op, process, **fields)

    def close(self):
        """No more records."""
        os.close(self.file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

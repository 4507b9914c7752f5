"""A disk with a volatile write cache, for tests of power cuts.

What a machine writes is kept in memory until it flushes, as a disk or an SD card
may keep it; after a flush has been answered, it is in the image file. At a power
cut each block that was not flushed is written or lost by lot, so writes may also
change their order. Killing an emulator alone shows less: what it had written is in
the host's cache, flushed or not.

It speaks the NBD protocol (fixed newstyle, simple replies) on a Unix socket, to
one client at a time; QEMU's `nbd` block driver is one.
"""

import os
import random
import socket
import struct
import threading

BLOCK = 4096
# A real cache is of this order; then it writes what it likes.
CACHE_BLOCKS = 16 * 1024 * 1024 // BLOCK
# Longer requests are refused. QEMU sends at most 32 MiB.
REQUEST_MAX = 32 * 1024 * 1024

GREETING = b"NBDMAGIC" + b"IHAVEOPT"
OPTION_REPLY = 0x3E889045565A9
OPT_EXPORT_NAME, OPT_ABORT, OPT_INFO, OPT_GO = 1, 2, 6, 7
REP_ACK, REP_INFO, REP_ERR_UNSUP = 1, 3, 0x80000001
# HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_WRITE_ZEROES
FLAGS = 1 | 4 | 8 | 64
READ, WRITE, DISC, FLUSH, WRITE_ZEROES = 0, 1, 2, 3, 6
FUA = 1
EIO, EINVAL = 5, 22


class PowerCut(Exception):
    """The disk has no power: the connection ends without an answer."""


class VolatileDisk:
    """Serves `image` on the socket `path` until `close`."""

    def __init__(self, image, path, seed):
        self.file = os.open(image, os.O_RDWR)
        self.size = os.fstat(self.file).st_size
        assert self.size % BLOCK == 0, f"{image}: its size is no multiple of {BLOCK}"
        self.lots = random.Random(seed)
        self.lock = threading.Lock()
        self.cache = {}  # block number: contents that no flush has made safe
        self.powered = True
        self.armed = False
        self.cut = None  # (survived, lost) blocks of the last power cut
        self.dark = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            with client:
                try:
                    self.negotiate(client)
                    self.serve(client)
                except (OSError, EOFError, PowerCut):
                    pass  # the emulator ended

    def power_cut(self, most):
        """Cuts the power in the middle of writing: at one of the next requests, by
        lot, while something is in the cache; (survived, lost) blocks of it, or None
        when nothing was written for so long. Nothing is read or written from then
        on, until `power_on`."""
        with self.lock:
            self.armed = True
        return self.cut if self.dark.wait(most) else None

    def go_dark(self):
        survived = [block for block in self.cache if self.lots.random() < 0.5]
        self.cut = len(survived), len(self.cache) - len(survived)
        for block in survived:
            self.put(block)
        self.cache.clear()
        self.powered = self.armed = False
        self.dark.set()

    def power_on(self):
        with self.lock:
            self.powered, self.armed = True, False
            self.dark.clear()

    def close(self):
        """A machine that was shut down has flushed all; the rest is lost."""
        self.listener.close()
        with self.lock:
            self.powered = False
            os.close(self.file)

    # --- the disk -------------------------------------------------------------

    def read(self, offset, length):
        first, end = offset // BLOCK, (offset + length + BLOCK - 1) // BLOCK
        data = bytearray(os.pread(self.file, (end - first) * BLOCK, first * BLOCK))
        if self.cache:
            for block in range(first, end):
                cached = self.cache.get(block)
                if cached is not None:
                    at = (block - first) * BLOCK
                    data[at : at + BLOCK] = cached
        start = offset - first * BLOCK
        return data[start : start + length]

    def write(self, offset, data):
        end = offset + len(data)
        first, last = offset // BLOCK, (end + BLOCK - 1) // BLOCK
        if offset % BLOCK or end % BLOCK:
            whole = self.read(first * BLOCK, (last - first) * BLOCK)
            start = offset - first * BLOCK
            whole[start : start + len(data)] = data
            data = whole
        for number in range(last - first):
            self.cache[first + number] = bytes(data[number * BLOCK : (number + 1) * BLOCK])
        while len(self.cache) > CACHE_BLOCKS:
            self.put(self.lots.choice(list(self.cache)))
        return range(first, last)

    def put(self, block):
        data = self.cache.pop(block, None)
        if data is not None:
            os.pwrite(self.file, data, block * BLOCK)

    def flush(self):
        for block in sorted(self.cache):
            os.pwrite(self.file, self.cache[block], block * BLOCK)
        self.cache.clear()

    def answer(self, command, flags, offset, length, data):
        """(error, data) for one request."""
        with self.lock:
            if self.armed and self.cache and self.lots.random() < 0.25:
                self.go_dark()
            if not self.powered:
                raise PowerCut
            if offset + length > self.size or (command != WRITE_ZEROES and length > REQUEST_MAX):
                return EINVAL, b""
            try:
                if command == READ:
                    return 0, bytes(self.read(offset, length))
                if command == FLUSH:
                    self.flush()
                    return 0, b""
                if command in (WRITE, WRITE_ZEROES):
                    touched = self.write(offset, bytes(length) if data is None else data)
                    if flags & FUA:
                        for block in touched:
                            self.put(block)
                    return 0, b""
            except OSError:
                return EIO, b""
            return EINVAL, b""

    # --- the protocol -----------------------------------------------------------

    def negotiate(self, client):
        client.sendall(GREETING + struct.pack(">H", 3))  # fixed newstyle, no zeroes
        no_zeroes = struct.unpack(">I", take(client, 4))[0] & 2
        while True:
            _, option, length = struct.unpack(">8sII", take(client, 16))
            if length > 4096:
                raise EOFError
            take(client, length)

            def reply(kind, data=b"", option=option):
                head = struct.pack(">QIII", OPTION_REPLY, option, kind, len(data))
                client.sendall(head + data)

            if option == OPT_EXPORT_NAME:
                zeroes = b"" if no_zeroes else bytes(124)
                client.sendall(struct.pack(">QH", self.size, FLAGS) + zeroes)
                return
            if option in (OPT_INFO, OPT_GO):
                reply(REP_INFO, struct.pack(">HQH", 0, self.size, FLAGS))
                reply(REP_ACK)
                if option == OPT_GO:
                    return
            elif option == OPT_ABORT:
                reply(REP_ACK)
                raise EOFError
            else:
                reply(REP_ERR_UNSUP)

    def serve(self, client):
        while True:
            head = take(client, 28)
            magic, flags, command, handle, offset, length = struct.unpack(">IHHQQI", head)
            if magic != 0x25609513 or command == DISC:
                return
            if command == WRITE and length > REQUEST_MAX:
                return  # what follows cannot be skipped cheaply
            data = take(client, length) if command == WRITE else None
            error, out = self.answer(command, flags, offset, length, data)
            client.sendall(struct.pack(">IIQ", 0x67446698, error, handle) + out)


def take(client, length):
    data = bytearray()
    while len(data) < length:
        part = client.recv(min(length - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)

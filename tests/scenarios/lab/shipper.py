"""A shipper of the tests' own, which takes what agents in programs hand over (src/keys/share_ring.h, share_item.h), and holds
every key from the moment that it was written. And who reads with them, or forges."""

import array
import ctypes
import dataclasses
import mmap
import os
import pathlib
import secrets
import socket
import struct
import threading
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from . import overt
from .proc import eventually

AGENT = pathlib.Path(overt.binary()).parent / "src" / "agent" / "libovert-agent.so"
SLOTS, SLOT, ENDS = 128, 512, 512
HEADER = 512 + 8 * ENDS
RING, BELL = HEADER + SLOTS * SLOT, 1024
BELL_MAGIC = 0x4f565342
COUNTS = ("missed", "held", "lost", "unheld", "rotations", "overruns")
KEY, BARRED, HANDSHAKE, APPLICATION = 1, 4, 1, 2
LIVE, AFTER_ROTATION = 1, 2
ROTATE, STOP = 1, 2
FUTEX, FUTEX_WAKE = 202, 1  # x86-64

_libc = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass(frozen=True)
class Key:
    random: bytes
    from_client: bool
    stage: int
    epoch: int
    suite: int
    key: bytes
    iv: bytes
    mode: int

    @property
    def name(self):
        return (("client" if self.from_client else "server"), self.stage, self.epoch)

    def _aead(self):
        return ChaCha20Poly1305(self.key) if self.suite == 0x1303 else AESGCM(self.key)

    def _nonce(self, number):
        return (int.from_bytes(self.iv, "big") ^ number).to_bytes(12, "big")

    def seal(self, number, content, kind=23):
        """A record, as its sender would have made it."""
        head = b"\x17\x03\x03" + struct.pack(">H", len(content) + 17)
        return head + self._aead().encrypt(self._nonce(number), content + bytes([kind]), head)

    def open(self, number, record):
        """(content, kind), or None when it is not of this key and number."""
        try:
            inner = self._aead().decrypt(self._nonce(number), record[5:], record[:5]).rstrip(b"\0")
        except InvalidTag:
            return None
        return inner[:-1], inner[-1]


def _vec8(octets):
    return octets[1:1 + octets[0]], octets[1 + octets[0]:]


def _item(octets):
    version, kind = octets[:2]
    assert version == 2
    if kind != KEY:
        return kind, octets[2:] if kind == 5 else _vec8(octets[2:])[0].decode()
    form, rest = _vec8(octets[2:])
    random, (from_client, stage, epoch, _, suite, _) = form[:32], struct.unpack(">BBIHHQ", form[32:50])
    key, left = _vec8(form[50:])
    iv, _ = _vec8(left)
    for _ in range(2):  # addresses
        _, rest = _vec8(rest)
        rest = rest[2:]
    _, rest = _vec8(rest[1:])
    return KEY, Key(random, bool(from_client), stage, epoch, suite, key, iv, rest[0])


class _Ring:
    def __init__(self, fd):
        self.memory = mmap.mmap(fd, RING)
        self.read = 0

    def take(self, give):
        while True:
            at = HEADER + self.read % SLOTS * SLOT
            turn = self.read // SLOTS * 2
            if struct.unpack_from("<I", self.memory, at)[0] != turn + 1:
                return
            length, = struct.unpack_from("<H", self.memory, at + 4)
            give(_item(self.memory[at + 6:at + 6 + length]))
            self.memory[at + 6:at + 6 + length] = bytes(length)
            self.read += 1
            struct.pack_into("<Q", self.memory, 16, self.read)
            struct.pack_into("<I", self.memory, at, turn + 2)
            word = ctypes.c_uint32.from_buffer(self.memory, at)
            _libc.syscall(FUTEX, ctypes.byref(word), FUTEX_WAKE, 1 << 30, None, None, 0)
            del word

    def end(self, random, how):
        said, = struct.unpack_from("<Q", self.memory, 32)
        tag = struct.unpack("<Q", random[:8] if random else bytes(8))[0] & ~1
        struct.pack_into("<Q", self.memory, 512 + said % ENDS * 8, tag | (how == STOP))
        struct.pack_into("<Q", self.memory, 32, said + 1)

    def counts(self):
        return dict(zip(COUNTS, struct.unpack_from("<6Q", self.memory, 40)))


class Shipper:
    def __init__(self):
        self.address = "@overt-test-" + secrets.token_hex(8)
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door.bind("\0" + self.address[1:])
        self._door.listen(16)
        self._bell = os.memfd_create("bell", os.MFD_ALLOW_SEALING)
        os.ftruncate(self._bell, BELL)
        os.pwrite(self._bell, struct.pack("<I", BELL_MAGIC), 0)
        self._rings, self._lock, self._ended = [], threading.Lock(), False
        self.keys, self.words = [], []
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._porter, self._taker)]
        for thread in self._threads:
            thread.start()

    def env(self, **more):
        """Of a program whose agent is to share here."""
        return {"LD_PRELOAD": str(AGENT), "OVERT_SHARE": self.address, "OVERT_SHARE_UID": str(os.geteuid()),
                "OVERT_SHARE_DEADLINE": "20000", **{f"OVERT_SHARE_{k.upper()}": str(v) for k, v in more.items()}}

    def _porter(self):
        while True:
            try:
                guest, _ = self._door.accept()
            except OSError:
                return
            with guest:
                _, attached, _, _ = guest.recvmsg(64, socket.CMSG_LEN(4))
                fd = array.array("i", attached[0][2])[0]
                with self._lock:
                    self._rings.append(_Ring(fd))
                    number = len(self._rings) - 1
                os.close(fd)
                guest.sendmsg([b"OVS1" + struct.pack(">I", number)],
                              [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [self._bell]))])

    def _give(self, item):
        (self.keys if item[0] == KEY else self.words).append(item[1])

    def drain(self):
        with self._lock:
            for ring in self._rings:
                ring.take(self._give)

    def _taker(self):
        while not self._ended:
            self.drain()
            time.sleep(0.001)  # between looks, as a program may wait for it

    def of(self, random):
        self.drain()
        return [key for key in self.keys if key.random == random]

    def names(self, random):
        return {key.name for key in self.of(random)}

    def wait(self, random, *names):
        """These are what was released of this connection; no others, now."""
        eventually(lambda: self.names(random) >= set(names), names)
        assert self.names(random) == set(names)

    def end(self, random, how):
        with self._lock:
            for ring in self._rings:
                ring.end(random, how)

    def counts(self):
        with self._lock:
            each = [ring.counts() for ring in self._rings]
        return {name: sum(one[name] for one in each) for name in COUNTS}

    def stop(self):
        self._ended = True
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for thread in self._threads:
            thread.join()
        os.close(self._bell)

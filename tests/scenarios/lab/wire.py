"""TLS over a socket through memory BIOs, so that a test sees and shapes the bytes on the wire; and TCP helpers."""

import socket
import ssl
import struct

from .proc import PATIENCE

RECORD_ALERT, RECORD_HANDSHAKE, RECORD_DATA = 21, 22, 23


class Tls:
    """One end of a TLS connection. `first_flight` shapes what the client sends first (bytes -> list of pieces, each
    piece sent as a segment of its own). What arrived raw stands in `raw_in`."""

    def __init__(self, sock, context, server_side=False, server_hostname=None, session=None, first_flight=None,
                 pushed=b""):
        sock.settimeout(PATIENCE)
        self.sock, self.raw_in = sock, bytearray(pushed)
        self._in, self._out, self._shape = ssl.MemoryBIO(), ssl.MemoryBIO(), first_flight
        self.object = context.wrap_bio(self._in, self._out, server_side, server_hostname, session)
        if pushed:
            self._in.write(pushed)

    def _flush(self):
        data = self._out.read()
        if not data:
            return
        if self._shape:
            pieces, self._shape = self._shape(data), None
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                self.sock.sendall(piece)
        else:
            self.sock.sendall(data)

    def pending_output(self):
        """What libssl wants sent, for a test that sends it itself."""
        return self._out.read()

    def _drive(self, step, *args):
        while True:
            try:
                result = step(*args)
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                self.raw_in += data
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
                continue
            except ssl.SSLError:
                try:
                    self._flush()
                except OSError:
                    pass
                raise
            self._flush()
            return result

    def handshake(self):
        self._drive(self.object.do_handshake)
        return self

    def send(self, data):
        self._drive(self.object.write, data)

    def recv(self, most=65536):
        """Bytes, or b"" after a close_notify. An end without close_notify raises ssl.SSLEOFError."""
        try:
            return self._drive(self.object.read, most)
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLError as error:
            if error.reason == "UNEXPECTED_EOF_WHILE_READING":
                raise ssl.SSLEOFError(*error.args) from None
            raise

    def recv_all(self):
        parts = []
        while part := self.recv():
            parts.append(part)
        return b"".join(parts)

    def recv_until(self, mark):
        data = b""
        while mark not in data:
            part = self.recv()
            assert part, f"the peer closed after {data!r}, before {mark!r}"
            data += part
        return data

    def close_notify(self):
        """Sends close_notify and leaves the socket open for reading."""
        try:
            self.object.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass
        self._flush()

    def reset(self):
        reset(self.sock)

    def close(self):
        self.sock.close()

    def peer_der(self):
        return self.object.getpeercert(binary_form=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def reset(sock):
    """Closes with a TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def records(data):
    """(type, version, fragment) of each whole record in `data`."""
    found, at = [], 0
    while at + 5 <= len(data):
        kind, version, length = struct.unpack_from("!BHH", data, at)
        if at + 5 + length > len(data):
            break
        found.append((kind, version, bytes(data[at + 5:at + 5 + length])))
        at += 5 + length
    return found


def record(kind, fragment, version=0x0301):
    return struct.pack("!BHH", kind, version, len(fragment)) + fragment


def refragment(data, *sizes):
    """The handshake message in `data` in records of the sizes given (the rest in one more)."""
    body = b"".join(fragment for _, _, fragment in records(data))
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at:at + size])
        at += size
    return b"".join(record(RECORD_HANDSHAKE, piece) for piece in [*pieces, body[at:]] if piece)


def each_octet(data):
    return [data[i:i + 1] for i in range(len(data))]


def recv_until(sock, mark, most=1 << 20):
    data = b""
    while mark not in data:
        part = sock.recv(65536)
        if not part:
            raise AssertionError(f"the peer closed after {data!r}, before {mark!r}")
        data += part
        assert len(data) <= most
    return data


def recv_exactly(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise AssertionError(f"the peer closed after {len(data)} of {size} octets: {data[:80]!r}")
        data += part
    return data


def recv_to_end(sock):
    """All until the peer's FIN; a reset raises ConnectionResetError."""
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def connect(port, host="127.0.0.1"):
    sock = socket.create_connection((host, port), PATIENCE)
    sock.settimeout(PATIENCE)
    return sock


def connect_request(host, port):
    return f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()


def tunnel(proxy_port, host, port):
    """A socket through CONNECT. (socket, head of the answer); the head ends at its empty line."""
    sock = connect(proxy_port)
    sock.sendall(connect_request(host, port))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = sock.recv(1)
        if not octet:
            break
        head += octet
    return sock, head.decode("latin-1")


def open_tunnel(proxy_port, host, port):
    sock, head = tunnel(proxy_port, host, port)
    assert " 200 " in head.split("\r\n")[0] + " ", f"CONNECT {host}:{port} was answered {head!r}"
    return sock

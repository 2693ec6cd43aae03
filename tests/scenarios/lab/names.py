"""Host names of the tests. The run gets an /etc/hosts of its own (in a mount namespace), where every name it uses is a
loopback address: the program under test and all clients then resolve them as they would resolve any name."""

import ctypes
import os
import pathlib
import tempfile

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

NAMES = ["site.test", "www.site.test", "other.test", "h2.test", "apache.test", "gnutls.test", "client-cert.test",
         "bypass.test", "block.test", "plain.test", "mail.test", "expired.test", "sensitive.test", "big.test",
         "second.test", "third.test",
         "listed.test", "deep.listed.test", "ws.test"]
NAMES += [f"{prefix}case-{number:03}.test" for number in range(120) for prefix in ("", "a.", "a.b.", "foo.")]
ADDRESSES = {"far.test": "127.0.0.2"}

_state = {"hosts": None, "why": "the private /etc/hosts was not set up"}


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _map_user(uid, gid):
    pathlib.Path("/proc/self/setgroups").write_text("deny")
    pathlib.Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    pathlib.Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def setup():
    """Gives this process and its children a private /etc/hosts. Where that is not allowed, says so in why()."""
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    hosts = tempfile.NamedTemporaryFile("w", prefix="overt-hosts-", delete=False)
    hosts.write("127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
    hosts.writelines(f"127.0.0.1 {name}\n" for name in NAMES)
    hosts.writelines(f"{address} {name}\n" for name, address in ADDRESSES.items())
    hosts.close()
    os.chmod(hosts.name, 0o644)
    try:
        if uid == 0:
            _check(libc.unshare(CLONE_NEWNS), "unshare")
        else:
            _check(libc.unshare(CLONE_NEWNS | CLONE_NEWUSER), "unshare")
            _map_user(uid, gid)
        _check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount private")
        _check(libc.mount(hosts.name.encode(), b"/etc/hosts", None, MS_BIND, None), "mount /etc/hosts")
    except OSError as error:
        _state["why"] = str(error)
        os.unlink(hosts.name)
        return
    _state.update(hosts=hosts.name, why=None)


def teardown():
    if _state["hosts"]:
        os.unlink(_state["hosts"])


def why():
    """Why there are no names, or None when there are."""
    return _state["why"]

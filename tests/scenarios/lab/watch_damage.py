"""What a network and a capture do to segments, done on purpose; and how much a reader may then lack."""

import dataclasses
import random

from . import watch_frames, wire


def noise(size, seed=""):
    """Octets of which every sixteen tell where they are from."""
    return random.Random(seed).randbytes(size)


def placed(said, got):
    """The pieces of `said` of which `got` is made, as (start, end) in order. Anything else fails: wrong octets."""
    pieces, at, start = [], 0, 0
    while at < len(got):
        found = said.find(got[at:at + 16], start)
        assert found >= 0, f"octets that were never said, or not there, at {at} of {len(got)}: {got[at:at + 16].hex()}"
        size = common(said[found:], got[at:])
        pieces.append((found, found + size))
        at, start = at + size, found + size
    return pieces


def common(one, other):
    """The length of what two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def without(said, gaps):
    """`said` less the (offset, octets) of gaps."""
    kept, at = b"", 0
    for offset, octets in gaps:
        kept += said[at:offset]
        at = offset + octets
    return kept + said[at:]


def holes(said, got):
    """How many octets of `said` are not in `got`, which must be made of pieces of it."""
    return len(said) - sum(end - start for start, end in placed(said, got))


def first_data(made, up):
    """The index of the first segment that begins a record of application data, in that direction."""
    return next(n for n, s in enumerate(made) if s.up == up and s.payload[:1] == b"\x17")


def touched(recording, up, lost, seq):
    """Octets of all records of a direction that lie in part in `lost`, segments; its stream begins at `seq`."""
    ranges = [((s.seq - seq) % watch_frames.WINDOW, len(s.payload)) for s in lost if s.up == up]
    at, total = 0, 0
    for _, _, fragment in wire.records(recording.stream(up)):
        end = at + 5 + len(fragment)
        total += len(fragment) if any(start < end and start + size > at for start, size in ranges) else 0
        at = end
    return total


# Edits: each takes a list of segments and gives another

def drop(made, *indexes):
    return [s for n, s in enumerate(made) if n not in indexes]


def duplicate(made, chance, dice):
    return [copy for s in made for copy in [s] * (1 + (dice.random() < chance))]


def swap(made, chance, dice, reach=6):
    """Some segments come later by up to `reach` places."""
    keyed = [(n + (dice.randint(1, reach) + 0.5 if dice.random() < chance else 0), n, s) for n, s in enumerate(made)]
    return [s for _, _, s in sorted(keyed, key=lambda k: k[:2])]


def overlap(made, chance, dice):
    """Some segments begin with octets that the one before it of their direction ended with."""
    last, out = {}, []
    for s in made:
        before = last.get(s.up)
        if before and s.payload and before.payload and dice.random() < chance \
                and (before.seq + len(before.payload)) % watch_frames.WINDOW == s.seq:
            back = dice.randint(1, len(before.payload))
            out.append(dataclasses.replace(s, seq=(s.seq - back) % watch_frames.WINDOW,
                                           payload=before.payload[-back:] + s.payload))
        else:
            out.append(s)
        if s.payload:
            last[s.up] = s
    return out


def split(made, chance, dice):
    out = []
    for s in made:
        if len(s.payload) > 1 and dice.random() < chance:
            at = dice.randint(1, len(s.payload) - 1)
            out += [s.cut(0, at), s.cut(at)]
        else:
            out.append(s)
    return out


def lose(made, chance, dice):
    return [s for s in made if not s.payload or dice.random() >= chance]


def capture(made):
    return watch_frames.pcap(watch_frames.frames(watch_frames.retimed(made)))

"""Lower floors never include upper ones (docs/architecture.md). Rooms of one floor may not include each other, except
where ALLOWED says so; every include of the house names room/file.h; no include cycle between rooms."""

import pathlib
import re
import sys

SRC = pathlib.Path(__file__).resolve().parent.parent.parent / "src"
FLOOR = {"base": 0, "tls": 1, "flow": 2, "accord": 2, "keys": 2, "audit": 2, "pki": 2, "pact": 3, "decode": 3, "policy": 3,
         "sink": 4, "bus": 4, "uprobe": 4, "proxy": 5, "watch": 5, "agent": 5, "share": 5, "collect": 5, "explain": 5, "assess": 5, "ui": 5,
         "libovert": 6, "cli": 6}
ALLOWED = set()

faults = []
for path in sorted(SRC.rglob("*.[ch]")):
    room = path.relative_to(SRC).parts[0]
    if room not in FLOOR:
        faults.append(f"{path}: no floor is known for the room {room}")
        continue
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match:
            continue
        target = match.group(1).split("/")[0]
        if "/" not in match.group(1) or (target not in FLOOR and target != "overt"):
            faults.append(f"{path}:{number}: {match.group(1)} names no room")
        elif target in FLOOR and target != room:
            upward = FLOOR[target] > FLOOR[room]
            sideways = FLOOR[target] == FLOOR[room] and (room, target) not in ALLOWED
            if upward or sideways:
                faults.append(f"{path}:{number}: {room} (floor {FLOOR[room]}) includes {target} (floor {FLOOR[target]})")

print("\n".join(faults))
sys.exit(bool(faults))

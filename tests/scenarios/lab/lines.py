"""Files that are read while a program writes them: what has not ended yet is not there yet."""

import json
import pathlib


def whole(path):
    """The lines of a file that have ended, as text; none while there is no file."""
    path = pathlib.Path(path)
    octets = path.read_bytes() if path.exists() else b""
    return octets[:octets.rfind(b"\n") + 1].decode().splitlines()


def objects(path, kind=None):
    """The JSON of each line that has ended; of logs, those entries of one `kind`."""
    found = map(json.loads, whole(path))
    return [entry for entry in found if kind is None or entry["kind"] == kind]

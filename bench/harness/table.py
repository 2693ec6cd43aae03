"""The table of ratios, and Overt's limits."""

import statistics

from measures import ROWS


class Results:
    """Values by row, peer and round."""

    def __init__(self, peers, reference):
        self.peers, self.reference = peers, reference
        self.values = {}

    def add(self, peer, numbers):
        for key, value in numbers.items():
            self.values.setdefault(key, {}).setdefault(peer.name, []).append(value)

    def of(self, key, name):
        return self.values.get(key, {}).get(name, [])

    def median(self, key, name):
        return statistics.median(self.of(key, name))

    def ratios(self, key, name, reference):
        """Round by round, so that what slowed a whole round down cancels out."""
        return [a / b for a, b in zip(self.of(key, name), self.of(key, reference)) if b > 0]


def cell(results, row, name):
    if not results.of(row.key, name):
        return "-"
    text = f"{results.median(row.key, name) * row.factor:.{row.digits}f}"
    # A difference or a residue may be about nothing: a ratio of two such would be noise.
    if row.limits and row.limits[0][0] is None:
        return text
    ratios = results.ratios(row.key, name, results.reference)
    return f"{text} ({statistics.median(ratios):.2f})" if ratios else text


def columns(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join([r[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(r[1:], widths[1:]))]) for r in rows)


def main_table(results):
    rows = [["", *(p.name for p in results.peers)], ["reached by", *(p.intake for p in results.peers)]]
    for row in ROWS:
        if row.key in results.values:
            rows.append([f"{row.title}, {row.unit}", *(cell(results, row, p.name) for p in results.peers)])
    return columns(rows)


def judged(results, row, reference, name, limit):
    """One limit: what was measured, its spread over the rounds, and whether it holds."""
    if reference is None:
        values = [v * row.factor for v in results.of(row.key, name)]
        unit = f" {row.unit}"
    else:
        values = results.ratios(row.key, name, reference)
        unit = f" × {reference}"
    if not values:
        return None
    middle = statistics.median(values)
    return [f"{row.title}, {name}", f"{limit:g}{unit}", f"{middle:.2f}", f"{min(values):.2f} to {max(values):.2f}",
            "holds" if middle <= limit else "MISSED"]


def limits_table(results):
    rows = [["", "at most", "is", "rounds", ""]]
    for row in ROWS:
        for reference, *limits in row.limits:
            for name, limit in zip(("overt", "overt+table"), limits):
                line = judged(results, row, reference, name, limit) if limit is not None else None
                if line:
                    rows.append(line)
    return columns(rows) if len(rows) > 1 else ""

"""Does every source give the documents that the development corpus is said to hold?

    CURATOR_DEV_DATA=... curator run benchmarks/recipes/sources.yaml
    python benchmarks/manifest.py CORPUS DATA

DATA/manifest.json lists files and folders with their documents. For each: documents read, records quarantined by
reason, and the difference, which is 0 where they are alike.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import curator


def main(corpus: Path, data: Path) -> int:
    opened = curator.open(str(corpus))
    documents: Counter[str] = Counter()
    for uri, n in opened.sql(
        "SELECT uri, count(*) FROM origins GROUP BY uri"
    ).rows():
        documents[uri] += n
    quarantined: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for uri, reason, n in opened.sql("SELECT uri, reason, sum(records)::INT FROM quarantine GROUP BY ALL").rows():
        quarantined[uri][reason] += n
    differing = 0
    print(f"{'path':<48} {'manifest':>8} {'read':>6} {'+/-':>5}  quarantined")
    for entry in json.loads((data / "manifest.json").read_text()):
        path = re.compile(re.escape(str(data / entry["path"])) + r"(?![\w-])")
        found = sum(n for uri, n in documents.items() if path.search(uri))
        bad: Counter[str] = Counter()
        for uri, reasons in quarantined.items():
            if path.search(uri):
                bad.update(reasons)
        expected = entry["docs"]
        difference = "" if expected is None else found - expected
        differing += difference not in ("", 0)
        why = ", ".join(f"{n} {reason}" for reason, n in bad.most_common())
        print(f"{entry['path']:<48} {'-' if expected is None else expected:>8} {found:>6} {difference:>5}  {why}")
    return differing


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])), "differ")

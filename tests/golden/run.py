"""The two commands of golden files, see __main__.py."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.golden import browser, commands, page, words
from tests.golden.alike import differences

STORED = Path(__file__).with_name("stored")
SECTIONS: dict[str, Callable[[], Any]] = {
    "readme": words.readme,
    "names": words.names,
    "help": commands.helps,
    "refusals": commands.refusals,
    "results": commands.results,
    "endpoints": page.endpoints,
    "figures": page.figures,
    "recipes": page.recipes,
    "replays": page.replays,
    "shown": page.shown,
    "seen": browser.seen,
}


def main() -> int:
    """Exit status: 0 where nothing differs beyond the tolerances, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.golden", description="What a user gets: store it, compare it."
    )
    parser.add_argument("what", choices=["write", "compare"])
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION")
    args = parser.parse_args()
    STORED.mkdir(exist_ok=True)
    try:
        return _run(args.what == "write", args.only)
    finally:
        page.stop()


def _run(write: bool, sections: list[str]) -> int:
    far = 0
    for name in sections:
        started, file = time.perf_counter(), STORED / f"{name}.json"
        found = SECTIONS[name]()
        text = _json(found) + "\n"
        took = f"{time.perf_counter() - started:.0f} s"
        if write:
            file.write_text(text, encoding="utf-8")
            print(f"{name}: {len(found)} entries, {len(text) / 1000:.0f} kB, {took}", flush=True)
            continue
        stored, now = json.loads(file.read_text(encoding="utf-8")), json.loads(text)
        if name == "recipes":
            stored, now = page.comparable(stored), page.comparable(now)
        seen = list(differences(stored, now, name))
        for one in seen:
            print(f"{'within tolerance' if one.near else 'DIFFERENT'}: {one.where}: {one.what}")
        other = sum(not one.near for one in seen)
        print(
            f"{name}: {len(found)} entries, {other} different, {len(seen) - other} within tolerance, {took}", flush=True
        )
        far += other
    return 1 if far else 0


def _json(value: Any, before: str = "\n") -> str:
    """JSON with sorted keys, an entry a line; what is short on one line."""
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(line) < 100:
        return line
    inner = f"{before} "
    if isinstance(value, list):
        return f"[{inner}{f',{inner}'.join(_json(v, inner) for v in value)}{before}]"
    rows = [f"{json.dumps(k, ensure_ascii=False)}: {_json(v, inner)}" for k, v in sorted(value.items())]
    return f"{{{inner}{f',{inner}'.join(rows)}{before}}}"

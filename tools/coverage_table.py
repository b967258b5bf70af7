#!/usr/bin/env python3
"""The table of tools/coverage.sh: coverage_table.py EXPORT.json UNCOVERED-OUT"""
import json
import os
import sys

LINES, BRANCHES = 90.0, 80.0


def uncovered_lines(file):
    """Line numbers in regions that never ran: segments are (line, column, count, has_count, is_entry, is_gap)."""
    lines, open_from = [], None
    for line, _, count, has_count, _, is_gap in (s[:6] for s in file["segments"]):
        if open_from is not None:
            lines += range(open_from, line + 1)
        open_from = line if has_count and count == 0 and not is_gap else None
    return sorted(set(lines))


def ranges(lines):
    out = []
    for n in lines:
        if out and n == out[-1][1] + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in out)


def percent(summary):
    return 100.0 if summary["count"] == 0 else 100.0 * summary["covered"] / summary["count"]


def main():
    data = json.load(open(sys.argv[1], encoding="utf-8"))["data"][0]
    root = os.getcwd() + "/"
    below = 0
    total = {"lines": [0, 0], "branches": [0, 0]}
    print(f"{'file':45} {'lines':>7} {'branches':>9}")
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        for file in sorted(data["files"], key=lambda f: f["filename"]):
            name = file["filename"].removeprefix(root)
            if not name.startswith(("src/", "healthcheck/")):
                continue
            lines, branches = file["summary"]["lines"], file["summary"]["branches"]
            mark = "" if percent(lines) >= LINES and percent(branches) >= BRANCHES else "  <"
            below += mark != ""
            for key, part in (("lines", lines), ("branches", branches)):
                total[key][0] += part["covered"]
                total[key][1] += part["count"]
            print(f"{name:45} {percent(lines):6.1f}% {percent(branches):8.1f}%{mark}")
            print(f"{name}: {ranges(uncovered_lines(file))}", file=out)
    all_of = [100.0 * part[0] / part[1] for part in total.values()]
    print(f"{'all':45} {all_of[0]:6.1f}% {all_of[1]:8.1f}%   {below} files below {LINES:.0f} % of lines or {BRANCHES:.0f} % of branches")


if __name__ == "__main__":
    main()

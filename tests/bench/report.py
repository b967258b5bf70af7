"""The table as JSON, as Markdown, and a plot of its ratios."""

import html
import json
import os
import platform
import re
import time


def value(text):
    found = re.match(r"[\d,]*\.?\d+", text.lstrip("> "))
    return float(found.group().replace(",", "")) if found else None


def save(folder, rows, columns, heads, notes):
    folder.mkdir(parents=True, exist_ok=True)
    table = [{"what": what.strip(), **{c: {"text": t, "value": value(t)} for c, t in zip(columns, cells) if t}} for what, cells in rows]
    data = {"date": time.strftime("%Y-%m-%d"), "processors": os.cpu_count(), "machine": platform.machine(), "kernel": ".".join(platform.release().split(".")[:2]),
            "columns": dict(zip(columns, heads)), "notes": notes, "rows": table}
    (folder / "bench.json").write_text(json.dumps(data, indent=1) + "\n")
    (folder / "TABLE.md").write_text(markdown(data, rows, heads))
    (folder / "bench.svg").write_text(plot(rows, columns, heads))


def markdown(data, rows, heads):
    lines = [f"# `make bench`, {data['date']}", "", f"{data['processors']} processors, {data['machine']}, Linux {data['kernel']}. {data['notes']}.", "",
             "| | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    lines += [f"| {'… ' if what.startswith(' ') else ''}{what.strip()} | " + " | ".join(cells) + " |" for what, cells in rows]
    return "\n".join(lines) + "\n"


def plot(rows, columns, heads):
    """A bar for each mode of mxgate: its messages per second as a multiple of Postfix's."""
    bars = []
    for (what, _), (below, cells) in zip(rows, rows[1:]):
        if what.startswith("messages/s") and below.strip() == "times Postfix's":
            bars.append((what.removeprefix("messages/s, "), [value(c) or 0 for c in cells[:2]]))
    width, left, line, most = 820, 330, 15, max([1, *(v for _, values in bars for v in values)])
    height = 60 + len(bars) * (2 * line + 8)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="10" y="18" font-size="13">Messages per second end to end, as a multiple of {html.escape(heads[2])}</text>']
    for at, (name, colour) in enumerate(zip(heads[:2], COLOURS)):
        out.append(f'<rect x="{left + at * 150}" y="26" width="10" height="10" fill="{colour}"/>'
                   f'<text x="{left + 14 + at * 150}" y="35">{html.escape(name)}</text>')
    y = 46
    for what, values in bars:
        out.append(f'<text x="{left - 8}" y="{y + line + 3}" text-anchor="end">{html.escape(what)}</text>')
        for v, colour in zip(values, COLOURS):
            size = v / most * (width - left - 60)
            out.append(f'<rect x="{left}" y="{y}" width="{size:.1f}" height="{line - 2}" fill="{colour}"/>'
                       f'<text x="{left + size + 4:.1f}" y="{y + 11}">{v:.1f}</text>')
            y += line
        y += 8
    one = left + (width - left - 60) / most
    out.append(f'<line x1="{one:.1f}" y1="42" x2="{one:.1f}" y2="{height - 8}" stroke="#888" stroke-dasharray="3 3"/></svg>')
    return "\n".join(out) + "\n"


COLOURS = ("#2b6cb0", "#dd8a2e")

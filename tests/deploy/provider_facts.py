#!/usr/bin/python3
"""Which arguments and blocks Terraform's AWS provider knows: makes aws_provider.json for the resources in deploy/.

    npm pack @cdktf/provider-aws@21.22.1 && tar xzf cdktf-provider-aws-*.tgz     (2,200 files; not needed by the tests)
    tests/deploy/provider_facts.py package/lib >tests/deploy/aws_provider.json

That package is generated from the provider's own schema; only the names, and which of them are needed, are taken.
"""

import json
import pathlib
import re
import sys

INTERFACE = re.compile(r"^export interface (\w+)[^{]*\{(.*?)^\}", re.M | re.S)
MEMBER = re.compile(r"#(\w+) \w+#\w+\}.*?readonly (\w+)(\??): ([^;]+);", re.S)


def arguments(interfaces, name):
    out = {}
    for snake, _, optional, kind in MEMBER.findall(interfaces[name]):
        out[snake] = {"needed": not optional}
        inner = re.match(r"\w*", kind).group(0)
        if inner in interfaces:
            out[snake]["block"] = arguments(interfaces, inner)
    return out


def attributes(text, config):
    """What can be read of a resource: the getters of its class."""
    body = text[text.index(f"export declare class {config.removesuffix('Config')} "):]
    names = re.findall(r"^    get (\w+)\(\)", body, re.M)
    return sorted({re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower() for name in names if not name.endswith("Input")})


def main():
    lib = pathlib.Path(sys.argv[1])
    root = pathlib.Path(__file__).resolve().parents[2]
    found = set()
    for file in sorted(root.glob("deploy/*/terraform/*.tf")):
        found |= set(re.findall(r'^(resource|data) "aws_(\w+)"', file.read_text(), re.M))
    facts = {"provider": None, "resource": {}, "data": {}}
    for kind, name in sorted(found):
        folder = ("data-aws-" if kind == "data" else "") + name.replace("_", "-")
        text = (lib / folder / "index.d.ts").read_text()
        facts["provider"] = re.search(r"hashicorp/aws/([0-9.]+)/", text).group(1)
        interfaces = dict(INTERFACE.findall(text))
        config = next(n for n in interfaces if n.endswith("Config") and "TerraformMetaArguments" in
                      re.search(rf"^export interface {n}[^{{]*", text, re.M).group(0))
        facts[kind]["aws_" + name] = {"arguments": arguments(interfaces, config), "attributes": attributes(text, config)}
    rows = [f'"{kind} {name}":{json.dumps(known, sort_keys=True, separators=(",", ":"))}'
            for kind in ("data", "resource") for name, known in facts[kind].items()]
    print('{"provider":"%s",\n%s}' % (facts["provider"], ",\n".join(rows)))


if __name__ == "__main__":
    main()

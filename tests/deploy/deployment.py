"""What the tests of deploy/ and .github/ share: the tree, the offline tool, the names of mxgate's settings."""

import json
import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/kubernetes/chart"
LEAST = {"domains": ["example.com", ".example.net"], "hostname": "mx.example.com", "transport": "lmtp:[10.8.0.2]:2400"}


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def offline(*arguments, given="", fails=False):
    """Runs tests/deploy/offline; the text it prints, or its complaint if it is meant to fail."""
    ran = subprocess.run([ROOT / "tools/deploy-offline.sh", *map(str, arguments)], input=given, text=True, timeout=120,
                         capture_output=True, check=False)
    assert (ran.returncode != 0) == fails, ran.stderr or ran.stdout
    return ran.stderr if fails else ran.stdout


def render(values, fails=False):
    """The chart's objects with these values, or what it says when it refuses them."""
    text = offline("render", CHART, "mxgate", "mail", given=json.dumps(values), fails=fails)
    return text if fails else objects(text)


class Strict(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error, as it is to Kubernetes."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{node.start_mark}: twice: {twice}"
        return super().construct_mapping(node, deep)


def objects(text):
    return [o for o in yaml.load_all(text, Strict) if o is not None]


def one(all_objects, kind, name="mxgate"):
    found = [o for o in all_objects if o["kind"] == kind and o["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects {kind} {name}"
    return found[0]


def settings():
    """The names of all settings, from the table that the program itself is made of."""
    names = set(re.findall(r"^(?:SETTING|SECRET)\w*\(\w+, (\w+),", read("src/config/settings.def"), re.M))
    assert {"relay_domains", "listen", "queue_directory"} <= names
    return names

"""Everything in deploy/ and .github/: clean shell, clean YAML, valid JSON, and nobody's data."""

import json
import re
import subprocess

import pytest
from deployment import ROOT

FILES = sorted(p for base in ("deploy", ".github") for p in (ROOT / base).rglob("*") if p.is_file())
FILES += [p for p in (ROOT / "docker-compose.yml", ROOT / "docs/SCALING.md") if p.exists()]
YAML = [p for p in FILES if p.suffix in (".yml", ".yaml") and "templates" not in p.parts]
YAMLLINT = """
extends: default
rules:
  line-length: {max: 140}
  document-start: disable
  truthy: {check-keys: false}
  comments: {min-spaces-from-content: 1}
  indentation: {spaces: 2, indent-sequences: consistent}
"""


def name(path):
    return str(path.relative_to(ROOT))


def run(*command):
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_yaml():
    assert len(YAML) > 10
    run("yamllint", "--strict", "-d", YAMLLINT, *map(str, YAML))


def test_shell():
    scripts = [p for p in FILES if p.suffix == ".sh" or p.read_bytes().startswith((b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash"))]
    assert len(scripts) >= 1
    run("shellcheck", *map(str, scripts))


def test_shell_inside_user_data(tmp_path):
    """What user_data.sh writes is shell too."""
    text = (ROOT / "deploy/ec2/user_data.sh").read_text(encoding="utf-8")
    inner = re.search(r"put /usr/local/sbin/mxgate-health 755 <<'EOF'\n(.*?)\nEOF\n", text, re.S)[1]
    (tmp_path / "mxgate-health").write_text(inner + "\n")
    run("shellcheck", str(tmp_path / "mxgate-health"))


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".json"], ids=name)
def test_json(path):
    json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nobodys_data(path):
    """Only names, addresses and accounts that are set aside for examples."""
    text = path.read_text(encoding="utf-8")
    for account in re.findall(r"\b\d{12}\b", text):
        assert account == "0" * 12, account
    for identifier in re.findall(r"\b(?:subnet|vpc|sg|ami|vol|eipalloc|fs|fsap|i)-([0-9a-f]{8,17})\b", text):
        assert re.fullmatch("0+[0-9]?|0123", identifier), identifier
    for address in re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text):
        assert address.startswith(("10.", "127.", "192.0.2.", "198.51.100.", "203.0.113.", "0.0.0.0", "172.")), address
    for mail in re.findall(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)", text):
        assert re.search(r"(^|\.)example\.(com|net|org)$", mail) or re.fullmatch(r"v?[0-9.]+", mail), mail
    assert "AKIA" not in text and "BEGIN " + "PRIVATE" not in text

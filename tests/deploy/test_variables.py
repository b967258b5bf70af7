"""Every environment variable that the files of deploy/ and the compose files give to mxgate is one that it knows, and
each configuration as a whole is one that it would start with."""

import json
import os
import re
import string
import subprocess

import pytest
import yaml
from deployment import ROOT, objects, one, read, settings
from test_ecs import VALUES
from test_kubernetes import EVERYTHING
from deployment import render

# Not settings of the table: of the environment (docs/SETTINGS.md), of healthcheck, of the C library.
OTHERS = {"HOSTNAME", "ALLOWED_DOMAINS", "DOMAIN", "RELAYHOST_TLS_LEVEL", "INBOUND_DEBUGGING", "MXGATE_INI", "HEALTHCHECK_UPSTREAM", "TZ"}


def setting_of(variable):
    name = variable.removeprefix("POSTFIX_")
    return name if name != variable else variable.lower()


def known(variable):
    names = settings()
    return variable in OTHERS or setting_of(variable) in names or \
        variable.endswith("_FILE") and setting_of(variable.removesuffix("_FILE")) in names


def interpolated(text):
    """As compose does it where the user has set nothing."""
    text = re.sub(r"(?<!\$)\$\{\w+(?::?[-]([^}]*)|:?\?[^}]*)?\}", lambda found: found[1] or "", text)
    return text.replace("$$", "$")


def from_compose(path):
    for service in yaml.safe_load(path.read_text(encoding="utf-8")).get("services", {}).values():
        given = service.get("environment") or {}
        if isinstance(given, list):
            given = dict(item.partition("=")[::2] for item in given)
        if "mxgate" in str(service.get("image", "")) or "build" in service and "mxgate" in str(service["build"]):
            yield {name: interpolated("" if value is None else str(value)) for name, value in given.items()}


def configurations():
    """(where, variables) of each."""
    for name in ("mxgate", "mxgate-proxy-protocol"):
        yield f"kubernetes {name}", one(objects(read(f"deploy/kubernetes/plain/{name}.yaml")), "ConfigMap")["data"]
    yield "kubernetes everything", one(render(EVERYTHING), "ConfigMap")["data"]
    task = json.loads(string.Template(read("deploy/ecs/task-definition.json")).substitute(VALUES))
    yield "ecs", {e["name"]: e["value"] for e in task["containerDefinitions"][0]["environment"]}
    main = read("deploy/ec2/terraform/main.tf")
    names = re.findall(r"^    ([A-Z]\w+) += ", main[main.index("merge(var.settings, {"):].split("})")[0], re.M)
    assert len(names) == 3
    yield "ec2 terraform", dict(zip(names, ["mx.example.com", "example.com,example.net", "lmtp:[10.8.0.2]:2400"]))
    script = read("deploy/ec2/user_data.sh")
    inner = script[script.index("    environment:\n"):].split("    stop_grace_period")[0]
    yield "ec2 compose", yaml.safe_load(inner)["environment"]
    # The top one, for users to copy, and those in deploy/compose.
    for path in [ROOT / "docker-compose.yml", *sorted((ROOT / "deploy/compose").glob("**/*.y*ml"))]:
        if path.exists():
            for variables in from_compose(path):
                yield str(path.relative_to(ROOT)), variables


CONFIGURATIONS = list(configurations())


@pytest.mark.parametrize("where, variables", CONFIGURATIONS, ids=[c[0] for c in CONFIGURATIONS])
def test_every_variable_is_known(where, variables):
    assert [name for name in variables if not known(name)] == []


def test_variables_in_documents_are_known():
    """Those of examples: NAME=value, NAME: value, NAME = value in indented or fenced lines."""
    for path in [*(ROOT / "deploy").glob("*/README.md"), *(ROOT / "deploy/compose").glob("*/README.md"), ROOT / "docs/SCALING.md",
                 ROOT / "docs/OUTBOUND.md", *(ROOT / "deploy").glob("*/terraform/*")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            for name in re.findall(r"\b(POSTFIX_[a-z0-9_]+|[A-Z]+(?:_[A-Z]+)+)\"? ?[=:] ?[\"0-9a-z]", line):
                if not name.startswith(("MXGATE_", "COMPOSE_", "QUEUE_VOLUME", "LOG_GROUP", "HEALTH_LOG", "AWS_", "VPN_", "AUTO_", "SWAP_")):
                    assert known(name), f"{path.name}: {line.strip()}"


# The others are for the user to fill in.
WHOLE = [c for c in CONFIGURATIONS if c[1].get("RELAY_TRANSPORT") and c[1].get("ALLOWED_DOMAINS")]


@pytest.mark.parametrize("where, variables", WHOLE, ids=[c[0] for c in WHOLE])
def test_mxgate_would_start_with_it(where, variables, tmp_path):
    for name in (n for n in variables if n.endswith("_FILE")):
        (tmp_path / name).write_text({"ANONYMIZE_EMAILS_FILE": "smart"}.get(name, "ann:secret"))
    environment = {k: str(tmp_path / k) if k.endswith("_FILE") else v for k, v in variables.items()}
    environment |= {"QUEUE_DIRECTORY": str(tmp_path / "spool")}
    ran = subprocess.run([os.environ.get("MXGATE_BIN", ROOT / "build/mxgate"), "check"], env=environment, capture_output=True, text=True,
                         timeout=30, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "is not a setting" not in ran.stdout + ran.stderr and "not supported" not in ran.stdout + ran.stderr


def test_every_command_exists():
    """What probes, hooks, alarms and documents have people and machines run."""
    commands = set(re.findall(r'^    \{"(\w+)", +command_', read("src/main.c"), re.M))
    assert {"serve", "status", "check"} <= commands
    used = set()
    for path in [*(ROOT / "deploy").rglob("*"), ROOT / "docs/SCALING.md", ROOT / "docs/OUTBOUND.md", *(ROOT / ".github").rglob("*")]:
        if path.is_file():
            used |= set(re.findall(r'(?:\[|`|-- |"|exec \S+ )mxgate,? ([a-z]+)', path.read_text(encoding="utf-8")))
    assert {"status", "drain"} <= used
    assert used <= commands, used - commands

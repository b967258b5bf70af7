"""The Terraform files: read by HCL's own parser, and held against the names that the AWS provider's schema has.

Not checked: types of arguments, what expressions come to, and what AWS makes of it. There is no terraform here.
"""

import json
import re

import pytest
from deployment import ROOT, offline

MODULES = ["deploy/ec2/terraform", "deploy/ecs/terraform"]
FACTS = json.loads((ROOT / "tests/deploy/aws_provider.json").read_text(encoding="utf-8"))
META = {"count", "for_each", "depends_on", "lifecycle", "provider", "timeouts"}
FUNCTIONS = {"base64encode", "base64gzip", "can", "concat", "contains", "file", "join", "jsondecode", "jsonencode", "length",
             "merge", "range", "regex", "strcontains", "templatefile", "tonumber", "toset", "tostring"}


def blocks_of(module):
    return json.loads(offline("hcl", *sorted((ROOT / module).glob("*.tf"))))


def where(block):
    return f"{block['file']}:{block['line']}"


@pytest.fixture(params=MODULES)
def blocks(request):
    return blocks_of(request.param)


def check_arguments(block, known, place):
    """The names in a block are the provider's, and those it needs are there."""
    given = set(block["attributes"])
    for inner in block["blocks"]:
        name, body = inner["type"], inner
        if name == "dynamic":
            name, (body,) = inner["labels"][0], [b for b in inner["blocks"] if b["type"] == "content"]
        if name in META:
            continue
        assert name in known, f"{where(inner)}: {place} has no block {name}"
        given.add(name)
        if "block" in known[name]:
            check_arguments(body, known[name]["block"], f"{place}.{name}")
    for name in given - META:
        assert name in known, f"{where(block)}: {place} has no argument {name}"
    for name, about in known.items():
        assert not about["needed"] or name in given, f"{where(block)}: {place} needs {name}"


def test_arguments_are_the_providers(blocks):
    seen = 0
    for block in blocks:
        if block["type"] in ("resource", "data"):
            check_arguments(block, FACTS[f"{block['type']} {block['labels'][0]}"]["arguments"], block["labels"][0])
            seen += 1
    assert seen > 15


def test_the_check_of_arguments_finds_faults():
    for change in (lambda b: b["attributes"].update(instance_typ="x"),
                   lambda b: [i for i in b["blocks"] if i["type"] == "metadata_options"][0]["attributes"].update(http_token="x"),
                   lambda b: b["blocks"].append({"type": "network", "labels": None, "attributes": {}, "blocks": [], "file": "", "line": 0})):
        instance, = [b for b in blocks_of(MODULES[0]) if b["labels"] == ["aws_instance", "this"]]
        change(instance)
        with pytest.raises(AssertionError):
            check_arguments(instance, FACTS["resource aws_instance"]["arguments"], "aws_instance")


def test_references_lead_somewhere(blocks):
    declared = {f"var.{b['labels'][0]}" for b in blocks if b["type"] == "variable"}
    declared |= {f"local.{name}" for b in blocks if b["type"] == "locals" for name in b["attributes"]}
    resources = {".".join(b["labels"]): b for b in blocks if b["type"] == "resource"}
    data = {"data." + ".".join(b["labels"]): b for b in blocks if b["type"] == "data"}
    names = [(b["type"], tuple(b["labels"])) for b in blocks if b["labels"]]
    assert len(names) == len(set(names)), "something is declared twice"
    used = set()
    for block in blocks:
        if block["type"] == "variable":
            continue
        for reference in block["references"]:
            parts = reference.split(".")
            if parts[0] in ("var", "local"):
                head = ".".join(parts[:2])
                assert head in declared, f"{where(block)}: {reference}"
                used.add(head)
                continue
            head = ".".join(parts[:3] if parts[0] == "data" else parts[:2])
            target = (data if parts[0] == "data" else resources).get(head)
            assert target, f"{where(block)}: there is no {head}"
            rest = parts[3:] if parts[0] == "data" else parts[2:]
            facts = FACTS[f"{target['type']} {target['labels'][0]}"]
            assert not rest or rest[0] in facts["attributes"], f"{where(block)}: {head} has no {rest[0]}"
            used.add(head)
    assert declared <= used, f"declared and not used: {sorted(declared - used)}"
    assert set(data) <= used, f"read and not used: {sorted(set(data) - used)}"


def test_functions_exist(blocks):
    for block in blocks:
        if block["type"] == "variable":  # its type looks like a call: list(string)
            continue
        assert set(block["functions"]) <= FUNCTIONS, f"{where(block)}: {set(block['functions']) - FUNCTIONS}"


def test_variables_are_described_and_the_example_gives_those_without_a_default(blocks):
    variables = {b["labels"][0]: b["attributes"] for b in blocks if b["type"] == "variable"}
    for name, attributes in variables.items():
        assert {"description", "type"} <= attributes.keys(), name
    module, = [m for m in MODULES if (ROOT / m / "variables.tf").read_text().count('variable "') == len(variables)]
    example = (ROOT / module / "terraform.tfvars.example").read_text()
    given = set(re.findall(r"^(\w+) *=", example, re.M))
    assert given == {name for name, attributes in variables.items() if "default" not in attributes}
    assert set(re.findall(r"^# (\w+) += ", example, re.M)) <= variables.keys()


def of(module, kind, name="this"):
    found, = [b for b in blocks_of(module) if b["type"] == "resource" and b["labels"] == [kind, name]]
    return found


def inner(block, kind):
    found, = [b for b in block["blocks"] if b["type"] == kind]
    return found["attributes"]


def test_the_instance_is_what_was_promised():
    instance = of(MODULES[0], "aws_instance")
    assert inner(instance, "metadata_options")["http_tokens"] == '"required"'  # IMDSv2
    assert inner(instance, "root_block_device")["encrypted"] == "true"
    assert "user_data_base64" in inner(instance, "lifecycle")["ignore_changes"]
    queue = of(MODULES[0], "aws_ebs_volume", "queue")
    assert queue["attributes"]["encrypted"] == "true" and inner(queue, "lifecycle")["prevent_destroy"] == "true"
    ingress = [b for b in blocks_of(MODULES[0]) if b["labels"] and b["labels"][0] == "aws_vpc_security_group_ingress_rule"]
    from_anywhere = [b["labels"][1] for b in ingress if "0.0.0.0/0" in json.dumps(b["attributes"])]
    assert sorted(from_anywhere) == ["smtp", "vpn"]  # and vpn has no port by default
    ports = of(MODULES[0], "aws_vpc_security_group_ingress_rule", "smtp")["attributes"]
    assert (ports["from_port"], ports["to_port"], ports["ip_protocol"]) == ("25", "25", '"tcp"')


def test_alarms_read_what_the_filters_write():
    """The name of a metric stands in three places: the line's member, the filter and the alarm."""
    text = (ROOT / "deploy/ec2/terraform/logs.tf").read_text()
    metrics = dict(re.findall(r'^    (\w+) += "(\w+)"', text[text.index("health_metrics = {"):].partition("}")[0], re.M))
    alarms = re.findall(r"^    (\w+) = \{", (ROOT / "deploy/ec2/terraform/alarms.tf").read_text(), re.M)
    assert {"Healthy", "QueueAge"} <= set(alarms) <= metrics.keys()
    line = (ROOT / "deploy/ec2/user_data.sh").read_text()
    for member in metrics.values():
        assert re.search(rf"\b{member}: ", line), f"mxgate-health writes no {member}"


def test_queues_of_ecs_are_never_shared():
    service = of(MODULES[1], "aws_ecs_service")["attributes"]
    assert (service["desired_count"], service["deployment_minimum_healthy_percent"], service["deployment_maximum_percent"]) == ("1", "0", "100")
    target = of(MODULES[1], "aws_lb_target_group", "smtp")["attributes"]
    assert target["proxy_protocol_v2"] == "true" and target["port"] == "2525"
    point = of(MODULES[1], "aws_efs_access_point", "spool")
    assert "each.value" in inner(point, "root_directory")["path"] and inner(point, "posix_user") == {"uid": "10025", "gid": "10025"}


def test_permissions_are_few():
    """No action with a star, and a star as resource only where AWS knows no resource."""
    for module in MODULES:
        for block in blocks_of(module):
            if (block["labels"] or [""])[0] != "aws_iam_policy_document":
                continue
            statements = [b for b in block["blocks"] if b["type"] == "statement"]
            statements += [c for b in block["blocks"] if b["type"] == "dynamic" for c in b["blocks"]]
            for statement in statements:
                actions = re.findall(r'"([^"]+)"', statement["attributes"]["actions"])
                assert actions and not [a for a in actions if "*" in a]
                if '"*"' in statement["attributes"].get("resources", ""):
                    services = {a.split(":")[0] for a in actions}
                    assert services <= {"cloudwatch", "ssmmessages", "ecr"}, f"{where(block)}: {actions}"

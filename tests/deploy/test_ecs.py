"""The ECS files against the API's own description (python3-botocore): what `aws ecs` itself checks before it calls."""

import json
import re
import string

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from deployment import read

CALLS = {"deploy/ecs/task-definition.json": "RegisterTaskDefinition", "deploy/ecs/service.json": "CreateService"}
VALUES = {
    "name": "mxgate-0", "architecture": "ARM64", "execution_role_arn": "arn:aws:iam::000000000000:role/e",
    "task_role_arn": "arn:aws:iam::000000000000:role/t", "file_system_id": "fs-0", "access_point_id": "fsap-0",
    "image": "registry.example.com/mxgate:0.1.0", "hostname": "mx.example.com", "domains": "example.com,example.net",
    "transport": "lmtp:[10.8.0.2]:2400", "load_balancer_networks": "10.0.0.0/24,10.0.1.0/24", "region": "eu-central-1",
    "log_group": "/mxgate/mail", "cluster": "mxgate", "subnet_id": "subnet-0", "security_group_id": "sg-0",
    "target_group_arn": "arn:aws:elasticloadbalancing:eu-central-1:000000000000:targetgroup/mxgate/0",
}


def filled(path):
    return json.loads(string.Template(read(path)).substitute(VALUES))


def complaints(call, value):
    model = ServiceModel(Loader().load_service_model("ecs", "service-2"))
    shape = model.operation_model(call).input_shape
    found = []

    def unknown(kind, item, where):  # botocore overlooks what it does not know
        if kind.type_name == "structure":
            found.extend(f"{where}: unknown {name}" for name in item if name not in kind.members)
            for name, inner in item.items():
                if name in kind.members:
                    unknown(kind.members[name], inner, f"{where}.{name}")
        elif kind.type_name == "list":
            for inner in item:
                unknown(kind.member, inner, where + "[]")
        elif kind.type_name == "string" and kind.enum and item not in kind.enum:
            found.append(f"{where}: {item} is none of {kind.enum}")

    unknown(shape, value, call)
    report = ParamValidator().validate(value, shape)
    return found + ([report.generate_report()] if report.has_errors() else [])


@pytest.mark.parametrize("path", CALLS)
def test_the_api_takes_it(path):
    assert complaints(CALLS[path], filled(path)) == []


def test_the_check_itself_finds_faults():
    for change in ({"cpus": "256"}, {"containerDefinitions": [{"image": 1}]}, {"networkMode": "awsvp"}, {"family": None}):
        assert complaints("RegisterTaskDefinition", filled("deploy/ecs/task-definition.json") | change), change


def test_the_files_fit_together():
    task, service = (filled(path) for path in CALLS)
    container, = task["containerDefinitions"]
    environment = {e["name"]: e["value"] for e in container["environment"]}
    port = container["portMappings"][0]["containerPort"]
    assert environment["LISTEN"] == str(port) == str(service["loadBalancers"][0]["containerPort"])
    assert service["loadBalancers"][0]["containerName"] == container["name"]
    assert service["taskDefinition"] == task["family"]
    assert container["mountPoints"][0]["sourceVolume"] == task["volumes"][0]["name"]
    # 256 CPU units go with 512, 1024 or 2048 MiB on Fargate; a stop may take 120 s there
    assert (task["cpu"], task["memory"]) == ("256", "512") and 15 <= container["stopTimeout"] <= 120
    assert container["logConfiguration"]["options"]["mode"] == "non-blocking"


def test_one_task_at_a_time_has_the_queue():
    service = filled("deploy/ecs/service.json")
    assert service["desiredCount"] == 1
    assert service["deploymentConfiguration"]["minimumHealthyPercent"] == 0
    assert service["deploymentConfiguration"]["maximumPercent"] == 100


def test_terraform_fills_every_place_of_the_task_definition():
    places = set(re.findall(r"\$\{(\w+)\}", read("deploy/ecs/task-definition.json")))
    main = read("deploy/ecs/terraform/main.tf")
    call = main[main.index("templatefile("):]
    assert set(re.findall(r"^    (\w+) += ", call[:call.index("})")], re.M)) == places

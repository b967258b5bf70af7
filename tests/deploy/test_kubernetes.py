"""The Helm chart and the plain manifests, as far as they can be judged without a cluster."""

import json
import re

import jsonschema
import kubernetes.client
import pytest
import yaml
from deployment import CHART, LEAST, ROOT, objects, offline, one, read, render

EVERYTHING = LEAST | {
    "replicaCount": 3,
    "image": {"repository": "registry.example.com/mx", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"MESSAGE_SIZE_LIMIT": 52428800, "POSTFIX_smtpd_banner": 'a "quoted": #text $myhostname', "VERIFY_RECIPIENTS": False},
    "secretSettings": {"ANONYMIZE_EMAILS": "anonymize"},
    "existingSecret": "mxgate",
    "ini": "[transport]\nexample.net = lmtp:[10.8.0.4]:2400\n",
    "service": {"annotations": {"a.example.com/b": "true"}, "loadBalancerClass": "example.com/lb",
                "loadBalancerSourceRanges": ["192.0.2.0/24"], "ipFamilyPolicy": "PreferDualStack"},
    "proxyProtocol": {"enabled": True, "trustedSources": ["10.0.0.0/16", "2001:db8::/64"]},
    "persistence": {"size": "10Gi", "storageClass": "fast", "annotations": {"a": "b"}},
    "networkPolicy": {"enabled": True, "egress": [{"to": [{"ipBlock": {"cidr": "10.8.0.2/32"}}],
                                                    "ports": [{"port": 2400, "protocol": "TCP"}]}]},
    "podAnnotations": {"a": "b"}, "podLabels": {"team": "mail"}, "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "mail", "operator": "Exists"}], "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "high",
    "extraVolumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
    "extraVolumeMounts": [{"name": "tls", "mountPath": "/etc/mxgate/tls", "readOnly": True}],
}
CASES = {"least": LEAST, "everything": EVERYTHING}

# ---- the form of the API ----

MODELS = {"ConfigMap": "V1ConfigMap", "ServiceAccount": "V1ServiceAccount", "Service": "V1Service",
          "StatefulSet": "V1StatefulSet", "PodDisruptionBudget": "V1PodDisruptionBudget", "NetworkPolicy": "V1NetworkPolicy"}
VERSIONS = {"StatefulSet": "apps/v1", "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1"}
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}


def check_type(kind, value, where):
    """value has the type that the API's own description gives it: no field it does not know, none missing."""
    listed, mapped = re.fullmatch(r"list\[(.*)\]", kind), re.fullmatch(r"dict\(str, (.*)\)", kind)
    if listed:
        assert isinstance(value, list), f"{where}: not a list"
        for i, item in enumerate(value):
            check_type(listed[1], item, f"{where}[{i}]")
    elif mapped:
        assert isinstance(value, dict), f"{where}: not a map"
        for key, item in value.items():
            assert isinstance(key, str), f"{where}: {key!r} is not a text"
            check_type(mapped[1], item, f"{where}.{key}")
    elif kind in PLAIN:
        assert isinstance(value, PLAIN[kind]), f"{where}: {value!r} is not {kind}"
        assert kind != "int" or not isinstance(value, bool), f"{where}: a flag where a number should be"
    else:
        check_model(getattr(kubernetes.client, kind), value, where)


def check_model(model, value, where):
    assert isinstance(value, dict), f"{where}: {value!r} is not an object"
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    for key, item in value.items():
        assert key in names, f"{where}: the API knows no {key}"
        check_type(model.openapi_types[names[key]], item, f"{where}.{key}")
    try:  # it refuses what lacks a needed field
        model(**{names[key]: item for key, item in value.items()})
    except ValueError as error:
        pytest.fail(f"{where}: {error}")


def check_object(o):
    kind = o["kind"]
    assert o["apiVersion"] == VERSIONS.get(kind, "v1")
    check_model(getattr(kubernetes.client, MODELS[kind]), o, kind)
    for name in re.findall(r"'name': '([^']*)'", str(o["metadata"])):
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", name), name


@pytest.mark.parametrize("case", CASES)
def test_objects_have_the_form_of_the_api(case):
    for o in render(CASES[case]):
        check_object(o)


def test_the_check_itself_finds_faults():
    """A check that passes everything would be no check."""
    for breaks in (lambda s: s["spec"].update(replica=1), lambda s: s["spec"].update(replicas="2"),
                   lambda s: s["spec"].pop("selector"),
                   lambda s: s["spec"]["template"]["spec"]["containers"][0]["livenessProbe"].update(command=["x"])):
        stateful = one(render(LEAST), "StatefulSet")
        breaks(stateful)
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check_object(stateful)


# ---- what belongs together ----

@pytest.mark.parametrize("case", CASES)
def test_selectors_ports_and_volumes_fit(case):
    all_objects = render(CASES[case])
    stateful = one(all_objects, "StatefulSet")
    pod = stateful["spec"]["template"]
    labels = pod["metadata"]["labels"]
    selectors = [stateful["spec"]["selector"]["matchLabels"], one(all_objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
    selectors += [o["spec"]["selector"] for o in all_objects if o["kind"] == "Service"]
    selectors += [o["spec"]["podSelector"]["matchLabels"] for o in all_objects if o["kind"] == "NetworkPolicy"]
    for selector in selectors:
        assert selector and selector.items() <= labels.items()
    assert one(all_objects, "Service", stateful["spec"]["serviceName"])["spec"]["clusterIP"] == "None"

    container, = pod["spec"]["containers"]
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    environment = one(all_objects, "ConfigMap")["data"]
    assert environment["LISTEN"] == str(ports["smtp"])
    for service in (o for o in all_objects if o["kind"] == "Service"):
        assert [p["targetPort"] for p in service["spec"]["ports"]] == ["smtp"]

    volumes = [v["name"] for v in pod["spec"]["volumes"]] + [c["metadata"]["name"] for c in stateful["spec"]["volumeClaimTemplates"]]
    mounts = [m["name"] for m in container["volumeMounts"]]
    assert sorted(volumes) == sorted(mounts) and len(set(volumes)) == len(volumes)
    spool, = [m["mountPath"] for m in container["volumeMounts"] if m["name"] == "spool"]
    # At that very path: a volume that the image declares would otherwise be mounted over it, and lost with the pod.
    assert spool == "/var/spool/mxgate" and environment["QUEUE_DIRECTORY"].startswith(spool + "/")
    claims = {v["configMap"]["name"] for v in pod["spec"]["volumes"] if "configMap" in v} | {container["envFrom"][0]["configMapRef"]["name"]}
    assert claims <= {o["metadata"]["name"] for o in all_objects if o["kind"] == "ConfigMap"}


@pytest.mark.parametrize("case", CASES)
def test_the_pod_is_restricted(case):
    """The `restricted` Pod Security Standard, and what it leaves open."""
    spec = one(render(CASES[case]), "StatefulSet")["spec"]["template"]["spec"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 10025, "runAsGroup": 10025, "fsGroup": 10025,
        "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"}}
    assert spec["automountServiceAccountToken"] is False and not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    container, = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container["resources"]["limits"]["memory"] and container["ports"][0]["containerPort"] >= 1024


def test_a_stop_has_time_to_drain():
    spec = one(render(LEAST | {"drainSeconds": 45}), "StatefulSet")["spec"]["template"]["spec"]
    command = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command[:2] == ["mxgate", "drain"] and "45s" in command
    assert spec["terminationGracePeriodSeconds"] > 45 + 10
    assert "terminationGracePeriodSeconds" in render(LEAST | {"drainSeconds": 50}, fails=True)


def test_values_arrive_as_they_are():
    all_objects = render(EVERYTHING)
    data = one(all_objects, "ConfigMap")["data"]
    assert data["MESSAGE_SIZE_LIMIT"] == "52428800"  # not 5.24288e+07
    assert data["POSTFIX_smtpd_banner"] == 'a "quoted": #text $myhostname' and data["VERIFY_RECIPIENTS"] == "false"
    assert data["ALLOWED_DOMAINS"] == "example.com,.example.net"
    assert data["SMTPD_UPSTREAM_PROXY_PROTOCOL"] == "haproxy"
    assert data["ANONYMIZE_EMAILS_FILE"] == "/run/secrets/mxgate/anonymize"
    assert one(all_objects, "ConfigMap", "mxgate-ini")["data"]["mxgate.ini"] == EVERYTHING["ini"]
    assert one(all_objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["image"].endswith("@sha256:" + "0" * 64)
    assert "SMTPD_UPSTREAM_PROXY_PROTOCOL" not in one(render(LEAST), "ConfigMap")["data"]


def test_a_changed_setting_replaces_the_pods():
    def checksum(values):
        return one(render(values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
    assert checksum(LEAST) == checksum(LEAST)
    assert checksum(LEAST) != checksum(LEAST | {"settings": {"SOFT_BOUNCE": "yes"}})
    assert checksum(LEAST) != checksum(LEAST | {"ini": "[mxgate]\n"})


@pytest.mark.parametrize("values, says", [
    ({"proxyProtocol": {"enabled": True}}, "trustedSources"),
    ({"secretSettings": {"ANONYMIZE_EMAILS": "x"}}, "existingSecret"),
    ({"settings": {"LISTEN": "25"}}, "settings.LISTEN"),
    ({"settings": {"QUEUE_DIRECTORY": "/tmp"}}, "settings.QUEUE_DIRECTORY"),
])
def test_contradictions_are_refused(values, says):
    assert says in render(LEAST | values, fails=True)


# ---- the schema of the values ----

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def merged(values):
    return json.loads(offline("values", CHART, given=json.dumps(values)))


@pytest.mark.parametrize("case", CASES)
def test_the_schema_takes_what_is_right(case):
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(merged(CASES[case]), SCHEMA)


@pytest.mark.parametrize("values", [
    {"domains": []}, {"domains": ["example"]}, {"domains": "example.com"}, {"hostname": "mx"}, {"hostname": ""},
    {"transport": ""}, {"transport": "10.8.0.2:2400"}, {"replicaCount": -1}, {"replicaCount": "2"}, {"replicas": 2},
    {"containerPort": 25}, {"image": {"digest": "latest"}}, {"image": {"repository": ""}}, {"settings": {"a b": "c"}},
    {"settings": {"LIST": ["a"]}}, {"service": {"type": "ExternalName"}}, {"service": {"port": 0}},
    {"proxyProtocol": {"enabled": "yes"}}, {"proxyProtocol": {"trustedSources": ["everybody"]}},
    {"persistence": {"size": "2"}}, {"persistence": {"accessModes": []}}, {"podDisruptionBudget": {"maxUnavailable": 0}},
], ids=json.dumps)
def test_the_schema_refuses_what_is_wrong(values):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(merged(LEAST | values), SCHEMA)


def test_the_defaults_alone_are_refused():
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(merged({}), SCHEMA)


def test_the_schema_knows_every_value():
    def names(schema, values, where=""):
        for key, value in values.items():
            assert key in schema["properties"], f"values.schema.json: no {where}{key}"
            if isinstance(value, dict) and "properties" in schema["properties"][key]:
                names(schema["properties"][key], value, f"{where}{key}.")
    names(SCHEMA, yaml.safe_load(read("deploy/kubernetes/chart/values.yaml")))


# ---- the plain manifests ----

@pytest.mark.parametrize("name", ["mxgate", "mxgate-proxy-protocol"])
def test_plain_manifests_are_what_the_chart_gives(name):
    values = yaml.safe_load(read(f"deploy/kubernetes/plain/values{name.removeprefix('mxgate')}.yaml"))
    jsonschema.validate(merged(values), SCHEMA)
    made = render(values)
    for o in made:
        for labels in (o["metadata"]["labels"], o.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})):
            labels.pop("helm.sh/chart", None)
            labels.pop("app.kubernetes.io/managed-by", None)
    assert objects(read(f"deploy/kubernetes/plain/{name}.yaml")) == made, "tools/kubernetes-plain.sh makes them anew"
    for o in made:
        check_object(o)


def test_the_chart_has_the_version_of_the_program():
    about = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    version = re.search(r"^VERSION *[:?]?= *(\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1]
    assert about["appVersion"] == version

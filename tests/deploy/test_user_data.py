"""deploy/ec2/user_data.sh, run as the machine would run it: in a chroot, with stand-ins for what changes a machine."""

import configparser
import gzip
import hashlib
import json
import re
import stat

import pytest
import yaml
from deployment import read
from machine import Machine, usable

pytestmark = pytest.mark.skipif(not usable(), reason="needs root and mount namespaces")

ENVIRONMENT = "HOSTNAME=mx.example.com\nALLOWED_DOMAINS=example.com,example.net\nRELAY_TRANSPORT=lmtp:[10.8.0.2]:2400"
LEAST = {"MXGATE_IMAGE": "registry.example.com/mxgate:0.1.0", "MXGATE_ENV": ENVIRONMENT, "COMPOSE_VERSION": "v2.40.0",
         "SWAP_MIB": "1"}
ALL = LEAST | {"COMPOSE_SHA256": hashlib.sha256(b"2.40.0\n").hexdigest(), "QUEUE_VOLUME_ID": "vol-0123", "AWS_REGION": "eu-central-1",
               "LOG_GROUP": "/mxgate/mail", "HEALTH_LOG_GROUP": "/mxgate/health", "VPN_SETUP": "echo up >/state/vpn",
               "AUTO_UPDATE": "weekly"}
PLUGIN = "/usr/local/lib/docker/cli-plugins/docker-compose"


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    made.attach("vol-0123")
    return made


def good(ran):
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "ERROR" not in ran.stderr and ran.stdout.rstrip().endswith("user_data: done")


def bad(ran, says):
    assert ran.returncode != 0
    assert re.search(rf"user_data: ERROR: .*{says}", ran.stderr), ran.stdout + ran.stderr


def position(calls, word):
    found = [i for i, call in enumerate(calls) if call.startswith(word)]
    assert found, f"{word}: not called"
    return found[0]


def test_a_fresh_machine(machine):
    good(machine.boot(**ALL))
    calls = machine.calls()
    order = ["swapon", "dnf install -y docker jq amazon-cloudwatch-agent", "mkfs.ext4", "mount /var/spool/mxgate",
             "systemctl enable --now docker", "curl", "docker compose --project-directory /opt/mxgate pull",
             "docker compose --project-directory /opt/mxgate up"]
    assert [position(calls, word) for word in order] == sorted(position(calls, word) for word in order), calls
    assert machine.text("/state/vpn") == "up\n"

    compose = yaml.safe_load(machine.text("/opt/mxgate/compose.yaml"))["services"]["mxgate"]
    assert compose["image"] == LEAST["MXGATE_IMAGE"] and compose["network_mode"] == "host" and compose["restart"] == "always"
    assert compose["read_only"] is True and compose["cap_drop"] == ["ALL"]
    assert sorted(compose["cap_add"]) == ["CHOWN", "NET_BIND_SERVICE", "SETGID", "SETUID"]
    assert compose["environment"] == {"RUN_AS_USER": "10025:10025"}  # root only to bind port 25
    assert compose["volumes"] == [{"type": "bind", "source": "/var/spool/mxgate", "target": "/var/spool/mxgate",
                                   "bind": {"create_host_path": False}}]
    assert compose["logging"] == {"driver": "awslogs", "options": {
        "awslogs-region": "eu-central-1", "awslogs-group": "/mxgate/mail", "awslogs-stream": "ip-192-0-2-1",
        "mode": "non-blocking", "max-buffer-size": "4m"}}
    assert compose["env_file"] == [{"path": "mxgate.env", "format": "raw"}]  # else compose reads $ and quotes in it
    assert machine.text("/opt/mxgate/mxgate.env") == ENVIRONMENT + "\n"
    assert stat.S_IMODE((machine.root / "opt/mxgate/mxgate.env").stat().st_mode) == 0o600

    agent = json.loads(machine.text("/opt/aws/amazon-cloudwatch-agent/etc/mxgate.json"))
    collected, = agent["logs"]["logs_collected"]["files"]["collect_list"]
    assert collected["file_path"] == "/var/log/mxgate/health.log" and collected["log_group_name"] == "/mxgate/health"
    assert agent["metrics"]["append_dimensions"] == {"InstanceId": "${aws:InstanceId}"}
    assert json.loads(machine.text("/etc/docker/daemon.json")) == {"live-restore": True}


def test_units_of_systemd_can_be_read(machine):
    good(machine.boot(**ALL))
    for unit in ("mxgate-health.service", "mxgate-health.timer", "mxgate-update.service", "mxgate-update.timer",
                 "docker.service.d/mxgate.conf"):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str
        parser.read_string(machine.text(f"/etc/systemd/system/{unit}"))
        assert parser.sections()
    assert "RequiresMountsFor=/var/spool/mxgate" in machine.text("/etc/systemd/system/docker.service.d/mxgate.conf")
    assert machine.calls("systemctl enable --now mxgate-health.timer") and machine.calls("systemctl enable --now mxgate-update.timer")


def test_a_second_run_changes_nothing(machine):
    good(machine.boot(**ALL))
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for base in ("etc", "opt", "usr/local")
              for p in (machine.root / base).rglob("*") if p.is_file()}
    good(machine.boot(**ALL))
    after = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in before}
    assert after == before
    assert not machine.calls("curl") and not machine.calls("mkfs") and not machine.calls("mkswap") and not machine.calls("swapon")
    assert len(machine.text("/etc/fstab").splitlines()) == 2
    assert machine.calls("docker compose --project-directory /opt/mxgate up")


def test_another_setting_the_next_time(machine):
    good(machine.boot(**ALL))
    good(machine.boot(**ALL | {"MXGATE_ENV": ENVIRONMENT + "\nSOFT_BOUNCE=yes", "AUTO_UPDATE": "no", "VPN_SETUP": ""}))
    assert machine.text("/opt/mxgate/mxgate.env").endswith("\nSOFT_BOUNCE=yes\n")
    assert machine.calls("systemctl disable --now mxgate-update.timer")


@pytest.mark.parametrize("architecture", ["aarch64", "x86_64"])
def test_the_plugin_is_for_this_architecture(tmp_path, architecture):
    machine = Machine(tmp_path, architecture)
    good(machine.boot(**LEAST))
    fetched = [call for call in machine.calls("curl") if " -o " in call]
    assert len(fetched) == 1 and fetched[0].endswith(f"/v2.40.0/docker-compose-linux-{architecture}")
    assert (machine.root / PLUGIN.lstrip("/")).stat().st_mode & 0o111


def test_an_unknown_architecture_is_refused(tmp_path):
    machine = Machine(tmp_path, "riscv64")
    bad(machine.boot(**LEAST), "riscv64")
    assert not machine.calls("dnf")


@pytest.mark.parametrize("how", ["pinned", "published"])
def test_a_wrong_checksum_stops_it(machine, how):
    if how == "pinned":
        ran = machine.boot(**ALL | {"COMPOSE_SHA256": "0" * 64})
    else:
        machine.publish("v2.40.0", checksum="0" * 64)
        ran = machine.boot(**ALL | {"COMPOSE_SHA256": ""})
    bad(ran, "checksum")
    assert not machine.has(PLUGIN) and not machine.has(PLUGIN + ".new")
    assert not machine.calls("docker compose --project-directory")


def test_a_plugin_that_cannot_be_fetched_stops_it(machine):
    bad(machine.boot(**ALL | {"COMPOSE_VERSION": "v9.9.9", "COMPOSE_SHA256": "0" * 64}), "checksum")
    (machine.root / "web/docker-compose-linux-aarch64").unlink()
    bad(machine.boot(**ALL), "cannot fetch")
    assert len([c for c in machine.calls("curl") if " -o " in c]) == 5


def test_an_upgrade_of_the_plugin(machine):
    good(machine.boot(**ALL))
    machine.publish("v2.41.0")
    good(machine.boot(**ALL | {"COMPOSE_VERSION": "v2.41.0", "COMPOSE_SHA256": ""}))
    assert machine.text(PLUGIN) == "2.41.0\n"


# ---- the queue's volume: there may be mail on it ----

@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_a_file_system_is_kept(tmp_path, filesystem):
    machine = Machine(tmp_path)
    machine.attach("vol-0123", filesystem)
    good(machine.boot(**ALL))
    assert not machine.calls("mkfs") and machine.calls("mount /var/spool/mxgate")


@pytest.mark.parametrize("filesystem", ["LVM2_member", "crypto_LUKS"])
def test_what_is_not_ours_is_not_touched(tmp_path, filesystem):
    machine = Machine(tmp_path)
    machine.attach("vol-0123", filesystem)
    bad(machine.boot(**ALL), filesystem)
    assert not machine.calls("mkfs") and not machine.calls("mount /") and not machine.calls("docker compose --project")


def test_a_volume_that_nobody_can_judge_is_not_touched(machine):
    machine.set("blkid", "8")
    bad(machine.boot(**ALL), "blkid")
    assert not machine.calls("mkfs") and not machine.calls("docker compose --project")


def test_a_volume_that_is_not_attached_stops_it(tmp_path):
    machine = Machine(tmp_path)
    bad(machine.boot(**ALL), "vol-0123 was not attached")
    assert not machine.calls("docker compose --project")


def test_without_a_volume_the_root_disk_holds_the_queue(machine):
    good(machine.boot(**LEAST))
    assert not machine.calls("mkfs") and machine.has("/var/spool/mxgate")
    assert yaml.safe_load(machine.text("/opt/mxgate/compose.yaml"))["services"]["mxgate"]["logging"]["driver"] == "json-file"
    assert not machine.calls("agent-ctl") and "dnf install -y docker jq" in machine.calls()


# ---- settings ----

@pytest.mark.parametrize("missing", ["MXGATE_IMAGE", "MXGATE_ENV", "COMPOSE_VERSION"])
def test_a_missing_setting_is_named(machine, missing):
    bad(machine.boot(**{k: v for k, v in ALL.items() if k != missing}), missing)
    assert machine.calls() in ([], ["uname -m"])


def test_a_missing_region_is_named(machine):
    bad(machine.boot(**LEAST | {"LOG_GROUP": "/x"}), "AWS_REGION")


def test_values_arrive_as_they_are(machine):
    nasty = "BANNER=a 'b' \"c\" $(touch /state/ran) `touch /state/ran` ${HOME} \\ #x\nOTHER=: - y"
    image = "registry.example.com/a: b\"$x"
    good(machine.boot(**ALL | {"MXGATE_ENV": nasty, "MXGATE_IMAGE": image}))
    assert machine.text("/opt/mxgate/mxgate.env") == nasty + "\n"
    assert yaml.safe_load(machine.text("/opt/mxgate/compose.yaml"))["services"]["mxgate"]["image"] == image
    assert not machine.has("/state/ran")


def test_terraform_gives_every_setting_in_the_form_tested_here():
    main = read("deploy/ec2/terraform/main.tf")
    assert "\"${name}=$(base64 -d <<<'${base64encode(value)}')\"" in main and '["#!/bin/bash"]' in main
    script = read("deploy/ec2/user_data.sh")
    known = set(re.findall(r"^#   ([A-Z][A-Z0-9_]+) ", script, re.M))
    given = set(re.findall(r"^    ([A-Z][A-Z0-9_]+) += ", main[main.index("user_data_settings = {"):].split("\n  }")[0], re.M))
    assert given <= known and {"MXGATE_IMAGE", "MXGATE_ENV", "QUEUE_VOLUME_ID"} <= given
    assert known == set(ALL) | {"SWAP_MIB"}


def test_it_fits_into_user_data():
    """EC2 takes 16 KiB before base64; Terraform sends it in gzip."""
    assert len(read("deploy/ec2/user_data.sh")) < 15 * 1024
    assert len(gzip.compress(read("deploy/ec2/user_data.sh").encode())) < 8 * 1024


# ---- the VPN ----

def test_a_tunnel_that_fails_does_not_keep_mail_out(machine):
    bad(machine.boot(**ALL | {"VPN_SETUP": "exit 3"}), "vpn.sh ended with 3")
    assert machine.calls("docker compose --project-directory /opt/mxgate up")


# ---- the line for the alarms ----

def health(machine):
    ran = machine.run(["/bin/bash", "/usr/local/sbin/mxgate-health"])
    assert ran.returncode == 0, ran.stderr
    return json.loads(machine.text("/var/log/mxgate/health.log").splitlines()[-1])


def test_the_line_of_health(machine):
    good(machine.boot(**ALL))
    machine.set("health", "healthy\n")
    machine.set("status", json.dumps({"queued": 3, "oldest": 1000, "on_hold": 1, "corrupt": 0, "log_dropped": 0, "destinations": [
        {"name": "a", "known": True, "up": False}, {"name": "b", "known": True, "up": True}, {"name": "c", "known": False, "up": False}]}))
    line = health(machine)
    assert (line["healthy"], line["queued"], line["on_hold"], line["destinations_down"]) == (1, 3, 1, 1)
    assert line["answers"] is True and line["oldest_seconds"] > 1_000_000
    machine.set("status", json.dumps({"queued": 0, "oldest": 0}))
    assert health(machine)["oldest_seconds"] == 0


def test_the_line_of_health_when_all_is_down(machine):
    good(machine.boot(**ALL))
    machine.stub("stubs/docker", "docker", "exit 1")
    line = health(machine)
    assert line["healthy"] == 0 and line["docker"] == "absent" and line["answers"] is False
    machine.stub("stubs/docker", "docker", 'case "$1" in inspect) echo unhealthy ;; *) exit 1 ;; esac')
    assert health(machine)["docker"] == "unhealthy"


def test_the_health_log_does_not_grow_for_ever(machine):
    good(machine.boot(**ALL))
    log = machine.root / "var/log/mxgate/health.log"
    log.parent.mkdir(parents=True)
    log.write_text("x" * 1_000_001)
    machine.set("health", "healthy\n")
    machine.set("status", "{}")
    health(machine)
    assert log.stat().st_size < 1000 and log.with_name("health.log.1").stat().st_size > 1_000_000

"""What pods and tasks rely on: started as user 10025, without any right, on volumes as clusters hand them out."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import string
import subprocess
import tempfile
import time

import pytest
from deployment import ROOT, objects, one, read
from test_ecs import VALUES

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")

UID = 10025
# who owns the volume, its mode
VOLUMES = {"with fsGroup": (0, UID, 0o2775), "for everybody": (0, 0, 0o777), "of the user": (UID, UID, 0o700)}


def kubernetes():
    stateful = one(objects(read("deploy/kubernetes/plain/mxgate.yaml")), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    environment = one(objects(read("deploy/kubernetes/plain/mxgate.yaml")), "ConfigMap")["data"]
    return environment, [stateful[probe]["exec"]["command"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]


def ecs():
    container = json.loads(string.Template(read("deploy/ecs/task-definition.json")).substitute(VALUES))["containerDefinitions"][0]
    environment = {e["name"]: e["value"] for e in container["environment"]}
    return environment, [container["healthCheck"]["command"][1:]]


@contextlib.contextmanager
def place(owner, group, mode):
    """A folder that user 10025 can reach, with the programs in bin and the volume in volume."""
    with tempfile.TemporaryDirectory(prefix="mxgate-volume-") as name:
        top = pathlib.Path(name)
        top.chmod(0o755)
        (top / "bin").mkdir(0o755)
        for program, variable in (("mxgate", "MXGATE_BIN"), ("healthcheck", "HEALTHCHECK_BIN")):
            shutil.copy(os.environ.get(variable, ROOT / "build" / program), top / "bin" / program)
        (top / "volume").mkdir()
        os.chown(top / "volume", owner, group)
        (top / "volume").chmod(mode)
        yield top


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_and_probe(top, environment, probes):
    environment = {name: value.replace("/var/spool/mxgate", str(top / "volume")) for name, value in environment.items()}
    environment.setdefault("QUEUE_DIRECTORY", str(top / "volume"))
    environment |= {"PATH": f"{top}/bin:/usr/bin:/bin", "LISTEN": f"127.0.0.1:{free_port()}"}
    nobody = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
              "--no-new-privs"]
    with (top / "log").open("w") as log, \
            subprocess.Popen([*nobody, "mxgate", "serve"], env=environment, stdout=log, stderr=log, cwd="/") as daemon:
        try:
            said = ""
            for probe in probes:
                until = time.monotonic() + 20
                while True:  # as the engine does: again until it succeeds
                    ran = subprocess.run([*nobody, *probe], env=environment, capture_output=True, text=True, timeout=20, check=False, cwd="/")
                    said = f"{probe}: {ran.stdout}{ran.stderr}\n{(top / 'log').read_text()}"
                    if ran.returncode == 0:
                        break
                    assert daemon.poll() is None and time.monotonic() < until, said
                    time.sleep(0.05)
        finally:
            daemon.terminate()
            assert daemon.wait(20) == 0, (top / "log").read_text()
    return pathlib.Path(environment["QUEUE_DIRECTORY"])


@pytest.mark.parametrize("volume", VOLUMES)
def test_a_pod_starts_on_any_volume(volume):
    owner, group, mode = VOLUMES[volume]
    with place(owner, group, mode) as top:
        spool = start_and_probe(top, *kubernetes())
        assert spool.parent == top / "volume" and spool.stat().st_uid == UID and spool.stat().st_mode & 0o777 == 0o700


def test_a_task_starts_on_the_folder_of_its_access_point():
    with place(*VOLUMES["of the user"]) as top:
        environment, probes = ecs()
        start_and_probe(top, environment, probes)

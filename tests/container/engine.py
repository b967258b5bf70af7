"""A Docker engine of our own: its data, its socket and (when asked) its network are private, and all of it goes at the end.

The machine may have an engine or none; neither is used or touched. Two phases, on one data folder:

    start_builder()  in the machine's network, where the Debian archive can be reached; no bridge, no firewall rule
    start_private()  in a network namespace of our own, bridge and rules included: "host network" is that namespace, so
                     the gateway may have port 25 there. This thread, and what it starts from then on, is in it, too.
"""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from harness import wait

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)

# Debian's client first: another one on this machine may lack BuildKit, or speak a newer protocol.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")


class EngineError(Exception):
    pass


def checked(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise EngineError(f"{what}: {os.strerror(number)}")


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Engine:
    def __init__(self):
        if os.geteuid() != 0:
            raise EngineError("a Docker engine starts as root only: run the container suite as root")
        self.daemon = shutil.which("dockerd", path=PATH)
        if not self.daemon:
            raise EngineError("there is no dockerd: tools/setup.sh container installs it")
        self.kept = os.environ.get("MXGATE_ENGINE_FOLDER")
        if self.kept:
            os.makedirs(self.kept, exist_ok=True)
        self.folder = pathlib.Path(self.kept or tempfile.mkdtemp(prefix="mxgate-docker-"))
        self.socket = f"unix://{self.folder}/docker.sock"
        self.environment = {**os.environ, "DOCKER_HOST": self.socket, "PATH": PATH, "DOCKER_BUILDKIT": "1",
                            "COMPOSE_DOCKER_CLI_BUILD": "1", "DOCKER_CONFIG": str(self.folder / "client")}
        for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"):
            self.environment.pop(name, None)
        self.process = None
        self.machine_network = None
        self.compose_command = None

    # --- life

    def start_builder(self):
        self._start("--bridge=none", "--iptables=false", "--ip6tables=false")

    def start_private(self):
        self.stop()
        self.machine_network = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        checked(LIBC.unshare(CLONE_NEWNET), "a network namespace of our own")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, env=self.environment)
        self._start()

    def _start(self, *options):
        log = self.folder / "dockerd.log"
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [self.daemon, "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
                 "--pidfile", self.folder / "pid", "-H", self.socket, *options],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                preexec_fn=die_with_parent)
        wait.until(self._answers, lambda: "the Docker engine to answer; it said:\n" + self.log(), 60)

    def _answers(self):
        if self.process.poll() is not None:
            raise EngineError(f"the Docker engine cannot run on this machine: dockerd ended with "
                              f"{self.process.returncode}; it said:\n{self.log()}")
        return self.docker("version", check=False, timeout=20).returncode == 0

    def log(self):
        try:
            return "\n".join((self.folder / "dockerd.log").read_text(errors="replace").splitlines()[-30:])
        except OSError:
            return ""

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        # It leaves the namespace of containers on the host network mounted.
        subprocess.run(["umount", self.folder / "exec" / "netns" / "default"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)

    def remove(self):
        """Everything: containers, engine, data; and this thread is in the machine's network again."""
        try:
            if self.process is not None and self.process.poll() is None:
                ids = self.docker("ps", "-aq").stdout.split()
                if ids:
                    self.docker("rm", "-f", "-v", *ids, check=False)
                if self.kept:
                    self.docker("volume", "prune", "-f", check=False)
                    self.docker("network", "prune", "-f", check=False)
        finally:
            self.stop()
            if self.machine_network is not None:
                checked(LIBC.setns(self.machine_network, CLONE_NEWNET), "the machine's network")
                os.close(self.machine_network)
                self.machine_network = None
            if not self.kept:
                shutil.rmtree(self.folder)

    # --- commands

    def run(self, *command, check=True, timeout=120, **options):
        """A program with this engine's DOCKER_HOST; its output as text."""
        done = subprocess.run([str(part) for part in command], env=self.environment, stdin=options.pop("stdin", subprocess.DEVNULL)
                              if "input" not in options else None, capture_output=True, text=True, timeout=timeout, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}")
        return done

    def docker(self, *arguments, **options):
        return self.run("docker", *arguments, **options)

    def inspect(self, name, template):
        """Of an image."""
        return self.docker("image", "inspect", "--format", template, name).stdout.strip()

    def compose(self, *arguments, **options):
        """`docker compose` where the client has it, else docker-compose."""
        if self.compose_command is None:
            has_plugin = self.docker("compose", "version", check=False).returncode == 0
            self.compose_command = ["docker", "compose"] if has_plugin else ["docker-compose"]
        return self.run(*self.compose_command, *arguments, **options)

    # --- images

    def have_image(self, name, script, *arguments):
        """`name` from its registry or, where none answers, made by a script of images/."""
        if self.docker("image", "inspect", name, check=False).returncode == 0:
            return
        if ":" in name and self.docker("pull", "-q", name, check=False, timeout=300).returncode == 0:
            return
        self.run(pathlib.Path(__file__).parent / "images" / script, *arguments, timeout=300)

    def build(self, tag, folder, *options):
        """`docker build` in the machine's network; its whole output."""
        done = self.docker("build", "--network", "host", "--progress", "plain", "-t", tag, *options, folder, timeout=900)
        return done.stdout + done.stderr

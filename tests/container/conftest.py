"""Fixtures of the container tests: one engine and one set of images for all of them. Nothing here is skipped: where no
engine can run, the suite fails and says why."""

import pathlib

import pytest

from engine import Engine
from stack import DEMO, TRANSPORT, Container, Dovecot, Stack

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARCHITECTURES = ("amd64", "arm64")


def machine_architecture(engine):
    return engine.run("dpkg", "--print-architecture").stdout.strip()


class Images:
    """The images under test, built from the real Dockerfile. In `base` the bases that they were built on."""

    def __init__(self, engine):
        self.engine = engine
        self.native = machine_architecture(engine)
        self.base = {}
        self.output = {}
        engine.have_image("debian:trixie-slim", "debian.sh", "trixie")
        self.build_for(self.native)
        engine.docker("tag", f"mxgate:{self.native}", "mxgate")
        self._build("mxgate:scratch", self.native, "--target", "scratch")
        engine.build("mxgate-demo-dovecot", DEMO / "dovecot")

    def build_for(self, arch):
        self.base[arch] = self._alpine(arch)
        self._build(f"mxgate:{arch}", arch)

    def _alpine(self, arch):
        """A registry gives each machine its own under one name; stand-ins need a name each."""
        if arch == self.native:
            self.engine.have_image("alpine:3.22", "alpine.sh", "alpine:3.22", arch)
            return "alpine:3.22"
        if self.engine.inspect("alpine:3.22", "{{len .RootFS.Layers}}{{.RepoDigests}}") != "1[]":
            return "alpine:3.22"
        self.engine.have_image(f"alpine-standin-{arch}", "alpine.sh", f"alpine-standin-{arch}", arch)
        return f"alpine-standin-{arch}"

    def _build(self, tag, arch, *options, context=ROOT):
        self.output[tag] = self.engine.build(tag, context, "--platform", f"linux/{arch}", "--build-arg",
                                             f"ALPINE={self.base[arch]}", *options)
        return tag

    def layers(self, name):
        return self.engine.inspect(name, "{{join .RootFS.Layers \" \"}}").split()

    def size(self, name):
        return int(self.engine.inspect(name, "{{.Size}}"))

    def rebuild(self, tag, context):
        """For comparison, from another copy of the tree."""
        return self._build(tag, self.native, context=context)


@pytest.fixture(scope="session")
def builder():
    engine = Engine()
    try:
        engine.start_builder()
        yield engine
    finally:
        engine.remove()


@pytest.fixture(scope="session")
def images(builder):
    return Images(builder)


@pytest.fixture(scope="session")
def both(images):
    """The images, for both machines."""
    for arch in ARCHITECTURES:
        if arch != images.native:
            images.build_for(arch)
    return images


@pytest.fixture(scope="session")
def engine(builder, images):
    """The engine on a network of its own: nothing can be fetched any more, and port 25 is ours."""
    builder.start_private()
    return builder


@pytest.fixture(scope="session")
def _dovecot(engine, tmp_path_factory):
    return Dovecot(engine, tmp_path_factory.mktemp("dovecot"))


@pytest.fixture
def dovecot(_dovecot):
    """Running, connected, and without mail of an earlier test."""
    if "mail" not in _dovecot.inspect("{{json .NetworkSettings.Networks}}"):
        _dovecot.connect()
    for user in _dovecot.mail.iterdir():
        for path in [*user.glob("new/*"), *user.glob("cur/*")]:
            path.unlink()
    return _dovecot


@pytest.fixture
def stacks(engine, tmp_path):
    """Makes the gateway of a compose file; its log is shown when the test fails, and all of it goes at the end."""
    made = []

    def make(file="docker-compose.yml", up=True, environment=None, **changes):
        if file == "docker-compose.yml":
            changes["environment"] = {"RELAY_TRANSPORT": TRANSPORT, **(environment or {})}
        stack = Stack(engine, tmp_path, file, **changes)
        made.append(stack)
        if up:
            stack.up()
        return stack

    yield make
    for stack in made:
        print(f"--- log of {stack.gateway.name}\n{stack.gateway.logs()[-20000:]}")
        stack.down("-v", "--remove-orphans")


@pytest.fixture
def run(engine):
    """`docker run -d` of an image, gone at the end; what to look at it with."""
    made = []

    def start(*arguments):
        made.append(engine.docker("run", "-d", *arguments).stdout.strip())
        return Container(engine, made[-1])

    yield start
    for name in made:
        print(f"--- log of {name[:12]}\n{Container(engine, name).logs()[-8000:]}")
        engine.docker("rm", "-f", "-v", name)

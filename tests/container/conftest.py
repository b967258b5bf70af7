"""Fixtures of the container tests: one engine and one set of images for all of them. Nothing here is skipped: where no
engine can run, the suite fails and says why."""

import pathlib

import pytest

from engine import Engine

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
        for arch in ARCHITECTURES:
            self.base[arch] = self._alpine(arch)
        self._build("mxgate", self.native)
        self._build("mxgate:scratch", self.native, "--target", "scratch")
        for arch in ARCHITECTURES:
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

"""What is in the images, for both machines: built by the real Dockerfile, compared with what it promises."""

import io
import json
import shutil
import struct
import tarfile

import pytest

from conftest import ARCHITECTURES, ROOT

MACHINES = {"amd64": 62, "arm64": 183}  # e_machine of ELF
ALPINE = 8_700_000  # octets of the real one, 3.22 (arm64, the larger); the stand-in of these tests is smaller
IMAGE_LIMIT = 12_000_000
PROGRAM_LIMIT = 1_048_576
LINKS = "postqueue postcat postconf postfix postsuper mailq newaliases sendmail".split()


class Tree:
    """The files of an image, without running it: they may be another machine's."""

    def __init__(self, engine, image):
        container = engine.docker("create", image, "x").stdout.strip()
        try:
            tar = engine.folder / "tree.tar"
            engine.docker("export", "-o", tar, container)
            self.tar = tarfile.open(fileobj=io.BytesIO(tar.read_bytes()))
            tar.unlink()
        finally:
            engine.docker("rm", "-v", container)

    def member(self, path):
        return self.tar.getmember(path.strip("/"))

    def read(self, path):
        return self.tar.extractfile(self.member(path)).read()

    def names(self):
        return self.tar.getnames()


@pytest.fixture(scope="module")
def trees(builder, both):
    return {name: Tree(builder, f"mxgate:{name}") for name in (*ARCHITECTURES, "scratch")}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_sizes(both, trees, arch, capsys):
    ours = both.size(f"mxgate:{arch}") - both.size(both.base[arch])
    program = trees[arch].member("usr/local/bin/mxgate").size
    check = trees[arch].member("usr/local/bin/healthcheck").size
    text = (f"{arch}: mxgate {program} octets, healthcheck {check}, image {ours} over {both.base[arch]} "
            f"({ours + ALPINE} with Alpine's own, about)")
    with capsys.disabled():
        print(f"\n{text}")
    assert program <= PROGRAM_LIMIT
    assert ours + ALPINE <= IMAGE_LIMIT


@pytest.mark.parametrize("name", (*ARCHITECTURES, "scratch"))
def test_programs_are_for_the_machine_of_the_image(images, trees, name):
    arch = images.native if name == "scratch" else name
    assert images.engine.inspect(f"mxgate:{name}", "{{.Os}}/{{.Architecture}}") == f"linux/{arch}"
    for program in ("mxgate", "healthcheck"):
        content = trees[name].read(f"usr/local/bin/{program}")
        kind, machine = struct.unpack_from("<HH", content, 16)
        assert content[:4] == b"\x7fELF" and machine == MACHINES[arch]
        assert kind == 3, "not position independent"
        assert b"ld-musl" not in content and b"ld-linux" not in content, "asks for a loader"


@pytest.mark.parametrize("name", (*ARCHITECTURES, "scratch"))
def test_files(trees, name):
    tree = trees[name]
    for link in LINKS:
        assert tree.member(f"usr/local/bin/{link}").linkname == "mxgate"
    assert tree.member("usr/sbin/sendmail").linkname == "../local/bin/mxgate"
    assert tree.member("usr/lib/sendmail").linkname == "../sbin/sendmail"
    assert tree.read("etc/ssl/certs/ca-certificates.crt").count(b"BEGIN CERTIFICATE") > 100
    for zone in ("Europe/Berlin", "Asia/Tokyo", "America/New_York", "UTC", "US/Eastern"):
        assert tree.read(f"usr/share/zoneinfo/{zone}").startswith(b"TZif")
    assert b"\nmxgate:x:10025:10025:" in tree.read("etc/passwd")
    assert b"\nmxgate:x:10025:" in tree.read("etc/group")
    spool = tree.member("var/spool/mxgate")
    assert spool.isdir() and (spool.uid, spool.gid, spool.mode & 0o7777) == (10025, 10025, 0o700)
    assert not [n for n in tree.names() if n.startswith("var/spool/mxgate/")]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_base_is_whole(builder, images, trees, arch):
    """Our files lie over Alpine's: its shell, its users and everything else are what they were."""
    base = Tree(builder, images.base[arch])
    ours = {"etc/passwd", "etc/group", "etc/ssl/certs/ca-certificates.crt", "usr/sbin/sendmail", "etc/resolv.conf", "etc/hosts",
            "etc/hostname"}
    for member in base.tar.getmembers():
        found = trees[arch].member(member.name)
        if member.name not in ours and not member.isdir():
            assert (found.type, found.size, found.mode, found.linkname) == (member.type, member.size, member.mode, member.linkname), member.name
    for users in ("etc/passwd", "etc/group"):
        assert trees[arch].read(users).startswith(base.read(users))
    assert trees[arch].member("usr/local/bin/entrypoint.sh").mode & 0o111


def test_scratch_has_no_shell(trees):
    assert not {"bin/sh", "bin/busybox", "usr/local/bin/entrypoint.sh"} & set(trees["scratch"].names())


@pytest.mark.parametrize("name", (*ARCHITECTURES, "scratch"))
def test_configuration(builder, both, name):
    config = json.loads(builder.inspect(f"mxgate:{name}", "{{json .Config}}"))
    assert list(config["ExposedPorts"]) == ["25/tcp"]
    assert list(config["Volumes"]) == ["/var/spool/mxgate"]
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/healthcheck", "-t", "3"]
    entry = ["/usr/local/bin/mxgate", "serve"] if name == "scratch" else ["/usr/local/bin/entrypoint.sh"]
    assert config["Entrypoint"] == entry
    assert not config["User"], "it starts as root, to bind port 25 on the host's network, and drops it"
    labels = config["Labels"]
    for label in ("title", "description", "licenses", "version", "revision", "base.name"):
        assert labels[f"org.opencontainers.image.{label}"]


def test_version_label(builder, images):
    said = builder.docker("run", "--rm", "--network", "host", "mxgate", "mxgate", "version").stdout.strip()
    assert said == "mxgate " + builder.inspect("mxgate", '{{index .Config.Labels "org.opencontainers.image.version"}}')


def test_final_stages_run_nothing():
    """Nothing but COPY, so that no emulator is needed for another machine's image."""
    for stage in ("scratch", "base", "runtime"):
        lines = (ROOT / "Dockerfile").read_text().split(f" AS {stage}\n")[1].split("\nFROM ")[0].splitlines()
        assert not [line for line in lines if line.startswith(("RUN", "ADD"))]


def test_same_input_same_image(images, tmp_path):
    """Another folder, other file times, and a file that no compiler reads: programs and layers are the same, bit for bit."""
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in ("Dockerfile", ".dockerignore", "Makefile"):
        shutil.copyfile(ROOT / name, copy / name)
    for name in ("src", "healthcheck", "entrypoint", "tools"):
        shutil.copytree(ROOT / name, copy / name, copy_function=shutil.copy)  # modes, not times
    (copy / "src" / "NOTES").write_text("read by nobody\n")
    images.rebuild("mxgate:again", copy)
    assert "LD build/static/mxgate" in images.output["mxgate:again"], "it was not built again"
    assert images.layers("mxgate:again") == images.layers("mxgate")

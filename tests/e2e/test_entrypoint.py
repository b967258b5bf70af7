"""entrypoint.sh, run for real with folders of our own: init scripts in order, then the gateway in the same process."""

import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from harness import smtp_client, wait
from harness.gateway import ROOT, Gateway, binary, clean_environment

ENTRYPOINT = ROOT / "entrypoint" / "entrypoint.sh"
SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]


class Container:
    """The entrypoint's process, its folders, and what it says."""

    def __init__(self, folder, shell, **settings):
        self.folder = pathlib.Path(folder)
        self.gateway = Gateway(self.folder, **settings)  # for its settings and its spool
        self.gateway.spool.mkdir()
        (self.folder / "bin").mkdir()
        for name in ("mxgate", "postconf", "postfix", "mailq"):
            (self.folder / "bin" / name).symlink_to(binary())
        self.command = [*shell, str(ENTRYPOINT)]
        self.process = None

    def script(self, place, name, text, executable=False):
        (self.folder / place).mkdir(exist_ok=True)
        path = self.folder / place / name
        path.write_text(text)
        path.chmod(0o755 if executable else 0o644)

    def environment(self):
        environment = clean_environment(self.gateway.settings)
        environment.update(PATH=f"{self.folder}/bin:{os.environ['PATH']}", MXGATE_INIT_D=str(self.folder / "init.d"),
                           MXGATE_INIT_DB=str(self.folder / "init.db"))
        return environment

    def start(self, *arguments):
        self.process = subprocess.Popen([*self.command, *arguments], env=self.environment(), cwd=self.folder,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return self

    def read_until(self, words):
        lines = []
        for line in self.process.stdout:
            lines.append(line.decode().rstrip("\n"))
            if words in lines[-1]:
                return lines
        raise AssertionError(f"it ended before it said {words!r}:\n" + "\n".join(lines))

    def end(self):
        """Stops the gateway; (exit code, what else it said)."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self):
        said, _ = self.process.communicate(timeout=20 * wait.SCALE)
        return self.process.returncode, said.decode()


@pytest.fixture(params=SHELLS)
def container(request, tmp_path, peer):
    made = Container(tmp_path, [request.param, "sh"] if request.param == "busybox" else [request.param],
                     relay_transport=peer.transport)
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


def test_without_scripts(container):
    lines = container.start().read_until("daemon started")
    assert lines[0].startswith("‣ INFO  "), lines
    code, said = container.end()
    assert code == 0 and "terminating on signal 15" in said


def test_the_gateway_is_the_entrypoints_process(container):
    container.start().read_until("daemon started")
    assert f"PID: {container.process.pid}\n" in container.gateway.run("postfix", "status", check=0).stderr.decode()
    container.end()


def test_scripts_run_in_order(container):
    """The deprecated folder first, each by name; executable ones are sourced, others run by a shell of their own."""
    container.script("init.db", "50-old.sh", 'echo "old, $$"\n')
    container.script("init.d", "20-second.sh", 'echo "second, ${FROM_FIRST:-unset}"\nFROM_SECOND=x\nexport FROM_SECOND\n')
    container.script("init.d", "10-first.sh", 'echo "first, $$"\nexport FROM_FIRST=set\n', executable=True)
    container.script("init.d", "30-third.sh", 'echo "third, ${FROM_SECOND:-unset}"\n', executable=True)
    container.script("init.d", "README", "not a script\n", executable=True)
    container.start()
    lines = container.read_until("Listening on")
    place = container.folder
    shell = "bash" if shutil.which("bash") else "sh"
    script = str(ENTRYPOINT)
    pid = container.process.pid
    assert lines[0] == f"‣ NOTE  Executing any found custom scripts found in {place}/init.db/..."
    assert lines[1] == (f"‣ WARN  {place}/init.db/ is deprecated. Please move your scripts (mount them) to {place}/init.d/")
    assert lines[2] == f"\trunning {shell} {place}/init.db/50-old.sh"
    assert lines[3].startswith("old, ") and lines[3] != f"old, {pid}"
    assert lines[4:12] == [
        f"‣ NOTE  Executing any found custom scripts found in {place}/init.d/...",
        f"\tsourcing {place}/init.d/10-first.sh", f"first, {pid}",
        f"\trunning {shell} {place}/init.d/20-second.sh", "second, set",
        f"\tsourcing {place}/init.d/30-third.sh", "third, unset",
        f"{script}: ignoring {place}/init.d/README"]
    assert container.end()[0] == 0


def test_what_a_sourced_script_exports_reaches_the_gateway(container):
    container.script("init.d", "a.sh", "export SMTPD_BANNER=from-the-script\n", executable=True)
    lines = container.start().read_until("daemon started")
    assert any("smtpd_banner=from-the-script" in line for line in lines), lines
    container.end()


def test_words_of_boky(container):
    """What its scripts may call besides postconf."""
    container.script("init.d", "a.sh", "info an info\nnotice a notice\nwarn a warning\nerror an error\n", executable=True)
    lines = container.start().read_until("daemon started")
    for want in ("‣ INFO  an info", "‣ NOTE  a notice", "‣ WARN  a warning", "‣ ERROR an error"):
        assert want in lines
    container.end()


@pytest.mark.parametrize("command,executable", [("postconf", True), ("postconf", False), ("do_postconf", True)],
                         ids=["sourced", "run", "do_postconf"])
def test_postconf_in_a_script(command, executable, container):
    container.script("init.d", "a.sh", f"{command} -e 'smtpd_banner = set by a script'\n", executable)
    line = next(l for l in container.start().read_until("daemon started") if "Listening on" in l)
    with smtp_client.Smtp(("127.0.0.1", int(line.rpartition(":")[2])), greeting=False) as client:
        assert client.reply().text == "220 set by a script"
    assert container.end()[0] == 0


@pytest.mark.parametrize("executable", [True, False], ids=["sourced", "run"])
@pytest.mark.parametrize("text,code", [("false\n", 1), ("exit 7\n", 7), ("no-such-command-here\n", 127)], ids=["false", "exit", "missing"])
def test_a_script_that_fails_ends_the_start(text, code, executable, container):
    """Half set up must not take mail; what comes after it does not run."""
    container.script("init.d", "10-fails.sh", text, executable)
    container.script("init.d", "20-next.sh", "echo the next one\n")
    container.start()
    got, said = container.ended()
    assert got == code
    assert said.endswith(f"‣ ERROR {container.folder}/init.d/10-fails.sh ended with exit code {code}: the gateway is not started\n"), said
    assert "the next one" not in said and "Listening" not in said


def test_fatal_in_a_script(container):
    container.script("init.d", "a.sh", "fatal no such file\n", executable=True)
    got, said = container.start().ended()
    assert got == 1 and "‣ FATAL no such file\n" in said and "is not started" in said


def test_empty_folders(container):
    for name in ("init.d", "init.db"):
        (container.folder / name).mkdir()
    lines = container.start().read_until("daemon started")
    assert not any("ignoring" in line for line in lines), lines
    container.end()


def test_a_command_runs_instead(container):
    container.script("init.d", "a.sh", "echo must not run\n")
    got, said = container.start("mxgate", "version").ended()
    assert got == 0 and said.startswith("mxgate ") and said.count("\n") == 1
    got, said = container.start("sh", "-c", 'echo "$1, $#"; exit 3', "x", "a b", "c").ended()
    assert (got, said) == (3, "a b, 2\n")


def test_settings_that_cannot_be_used(container):
    container.gateway.settings["message_size_limit"] = "7"
    assert container.start().ended()[0] == 78

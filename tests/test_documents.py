"""The documents say what the program does: options, commands, links."""

import dataclasses
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from assistant.errors import SettingsError
from assistant.settings import Settings, settings_from
from tests.programs import ROOT, run_program
from tests.test_architecture import LAYERS

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "editors").glob("*.md")),
]
LIMITS = {field.name: field.metadata for field in dataclasses.fields(Settings)}
DOCUMENTS += sorted((ROOT / "docs").rglob("*.md"))


def test_options_in_the_editors_guide_are_the_settings() -> None:
    text = (ROOT / "editors" / "README.md").read_text(encoding="utf-8")
    table = text.partition("## Options")[2]
    told = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", table, flags=re.MULTILINE))
    real = dataclasses.asdict(Settings())
    assert told == {name: json.dumps(value) for name, value in real.items()}
    assert "except for\nthe last six, in" in text
    for name in [*told][-7:]:  # the last six are refused, the one before them is not
        try:
            settings_from({name: real[name]}, origin="workspace")
        except SettingsError:
            told.pop(name)
    assert [*told][-1] == "menu_completion" and len(told) == len(real) - 6


def test_settings_in_the_extension_s_guide_are_those_that_it_has() -> None:
    folder = ROOT / "editors" / "vscode"
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    told = re.findall(
        r"^\| `(foretype\.\w+)` \|", (folder / "README.md").read_text(encoding="utf-8"), flags=re.M
    )
    properties = package["contributes"]["configuration"]["properties"]
    current = {name for name, each in properties.items() if "deprecationMessage" not in each}
    assert sorted(told) == sorted(current)
    real = dataclasses.asdict(Settings())
    for name in current:
        snake = re.sub(r"([A-Z])", lambda hit: f"_{hit[1].lower()}", name.partition(".")[2])
        if snake not in ("languages", "path"):  # the extension's own
            default, limits = properties[name]["default"], LIMITS[snake]
            assert json.dumps(default) == json.dumps(real[snake])
            bounds = (properties[name].get("minimum"), properties[name].get("maximum"))
            assert bounds == limits.get("range", (None, None))
            words = properties[name].get("items", properties[name]).get("enum", [])
            assert sorted(words) == sorted(limits.get("known", []))


def test_server_options_in_the_editors_guide_exist() -> None:
    text = (ROOT / "editors" / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(--[\w-]+)", text, flags=re.MULTILINE))
    shown = help_of("lsp")
    assert told == set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", shown, flags=re.MULTILINE)) - {
        "--verbose",
        "--help",
    }


def help_of(command: str) -> str:
    run = run_program([sys.executable, str(ROOT / "foretype.py"), command, "--help"], timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_links_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    from_root = (ROOT / "foretype.py").read_text(encoding="utf-8")
    for command in re.findall(r"^foretype (\w+)", text, flags=re.MULTILINE):
        assert f'"{command}": (' in from_root, command
    for script in re.findall(r"\bscripts/[\w-]+(?:\.\w+)?", text):
        assert (ROOT / script).exists(), script
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (document.parent / target).exists(), target


def test_constraints_cover_every_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for extra in extras for line in extra)]
    pinned = {
        line.partition("==")[0]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    names = {re.split(r"[^\w-]", line)[0].lower().replace("_", "-") for line in wanted}
    assert names - pinned == set()


def test_every_module_that_the_tour_names_exists() -> None:
    text = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    packages = ("assistant", "lsp", "model", "training", "tests")
    files = (path for package in packages for path in (ROOT / package).rglob("*.py"))
    known = {path.relative_to(ROOT).as_posix() for path in files} | {"foretype.py"}
    names = set(re.findall(r"`((?:\w+/)*\w+\.py)`", text))
    missing = [name for name in names if not any(path.endswith(f"/{name}") for path in known)]
    assert len(names) > 40
    assert [name for name in missing if name not in known] == []


def test_the_tour_has_the_folders_in_the_order_of_their_imports() -> None:
    text = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    told = text.partition("only what stands before it:")[2].partition(". `tests/")[0]
    assert re.findall(r"`(\w+)`", told) == LAYERS[1:]


def test_code_in_the_tour_stands_in_the_files_that_it_names() -> None:
    text = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n# (\S+)\n(.+?)\n```", text, flags=re.DOTALL)
    assert len(blocks) == text.count("```python") >= 12
    for path, code in blocks:
        wanted, lines = (
            "\n".join(line.strip() for line in part.split("\n"))
            for part in (code, (ROOT / path).read_text(encoding="utf-8"))
        )
        assert f"\n{wanted}\n" in lines, (path, code)


@pytest.mark.parametrize(
    ("document", "title", "least"),
    [("docs/security.md", "## Promises", 20), ("CONTRIBUTING.md", "## Eleven reports", 11)],
)
def test_every_promise_names_tests_that_exist(document: str, title: str, least: int) -> None:
    text = (ROOT / document).read_text(encoding="utf-8").partition(title)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.*`tests/.+) \|$", text, flags=re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| (?!promise |report )", text, flags=re.M)) >= least
    for promise, tests in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", tests)
        assert named, promise
        for path, name in named:
            code = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(rf"^(?:async )?def {name}\(", code, flags=re.MULTILINE), (path, name)

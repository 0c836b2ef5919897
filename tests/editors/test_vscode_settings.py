"""The VS Code extension's settings are the server's: same names, defaults, ranges and trust."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from assistant import settings as config
from assistant.settings import Settings

EXTENSION = Path(__file__).resolve().parents[2] / "editors" / "vscode"
# Settings of the server that VS Code does not show, and why.
NOT_SHOWN = {
    "menu_completion": "VS Code would show every suggestion twice",
    "index_mb": "disk space is this machine's affair, not an editor's: settings.toml",
    "snippets": "depends on the model alone: settings.toml",
    "gpu_layers": "of GGUF models alone, and of this machine: settings.toml",
    "flash_attention": "of GGUF files alone, and of this machine: settings.toml",
    "kv_cache": "of GGUF files alone, and of this machine: settings.toml",
}
# Settings of the extension itself; `enabled` is acted on before a request is sent.
OWN = {"enabled", "languages", "path"}


@pytest.fixture(scope="module")
def package() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    return table


@pytest.fixture(scope="module")
def shown(package: dict[str, Any]) -> dict[str, dict[str, Any]]:
    properties = package["contributes"]["configuration"]["properties"]
    names = {name.removeprefix("foretype."): entry for name, entry in properties.items()}
    return {name: entry for name, entry in names.items() if "deprecationMessage" not in entry}


@pytest.fixture(scope="module")
def passed_on() -> dict[str, str]:
    """VS Code's name -> the server's, as src/names.ts has them."""
    source = (EXTENSION / "src" / "names.ts").read_text(encoding="utf-8")
    table = source.partition("SERVER_SETTINGS = {")[2].partition("}")[0]
    return dict(re.findall(r"(\w+): '(\w+)'", table))


def snake(name: str) -> str:
    return re.sub(r"(?<!^)[A-Z]", lambda match: "_" + match[0].lower(), name)


def test_names_are_the_servers_in_camel_case(passed_on: dict[str, str]) -> None:
    assert {name: snake(name) for name in passed_on} == passed_on


def test_every_setting_of_the_server_is_shown_or_left_out_for_a_reason(
    passed_on: dict[str, str], shown: dict[str, dict[str, Any]]
) -> None:
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert set(NOT_SHOWN) < fields
    assert fields - set(NOT_SHOWN) - {"enabled"} == set(passed_on.values())
    assert set(shown) == set(passed_on) | OWN


def test_old_names_are_passed_on_and_marked(package: dict[str, Any]) -> None:
    source = (EXTENSION / "src" / "names.ts").read_text(encoding="utf-8")
    table = source.partition("OLD_SETTINGS = {")[2].partition("}")[0]
    passed_on = dict(re.findall(r"(\w+): '(\w+)'", table))
    assert set(passed_on.values()) == {
        old for old, new in config.RENAMED.items() if new not in NOT_SHOWN
    }
    for name, server_name in passed_on.items():
        entry = package["contributes"]["configuration"]["properties"][f"foretype.{name}"]
        assert snake(name) == server_name
        assert f"goes away in {config.OLD_NAMES_END}" in entry["deprecationMessage"]


def test_defaults_and_ranges_are_the_servers(
    passed_on: dict[str, str], shown: dict[str, dict[str, Any]]
) -> None:
    defaults = Settings()
    limits_of = {each.name: each.metadata for each in dataclasses.fields(Settings)}
    for name, server_name in passed_on.items():
        entry, default = shown[name], getattr(defaults, server_name)
        assert entry["default"] == (list(default) if isinstance(default, tuple) else default), name
        limits = limits_of[server_name]
        if "range" in limits:
            assert (entry["minimum"], entry["maximum"]) == limits["range"]
    assert shown["enabled"]["default"] is defaults.enabled
    assert tuple(shown["multiLine"]["enum"]) == config.MULTI_LINE


def test_each_value_that_can_be_chosen_is_one_of_the_servers(
    passed_on: dict[str, str], shown: dict[str, dict[str, Any]]
) -> None:
    for name, server_name in passed_on.items():
        for value in shown[name].get("enum", ()):
            config.settings_from({server_name: value})
        assert len(shown[name].get("enumDescriptions", ())) == len(shown[name].get("enum", ()))


def test_programs_and_weights_are_never_read_from_a_workspace(
    package: dict[str, Any], passed_on: dict[str, str], shown: dict[str, dict[str, Any]]
) -> None:
    trusted = {name for name, server_name in passed_on.items() if server_name in config._USER_ONLY}
    trusted |= {"path"}
    assert trusted == {name for name, entry in shown.items() if entry["scope"] == "machine"}
    limits = package["capabilities"]["untrustedWorkspaces"]
    assert limits["supported"] == "limited"
    assert set(limits["restrictedConfigurations"]) == {f"foretype.{name}" for name in trusted}


def test_every_setting_and_command_says_what_it_is(
    package: dict[str, Any], shown: dict[str, dict[str, Any]]
) -> None:
    for entry in shown.values():
        assert entry.get("description") or entry.get("markdownDescription")
    source = (EXTENSION / "src" / "commands.ts").read_text(encoding="utf-8")
    table = source.partition("const commands")[2].partition("};")[0]
    registered = set(re.findall(r"^    (\w+): \(\)", table, re.MULTILINE))
    source = (EXTENSION / "src" / "nextEdit.ts").read_text(encoding="utf-8")
    registered |= set(re.findall(r"registerCommand\('foretype\.(\w+)'", source))
    offered = {item["command"] for item in package["contributes"]["commands"]}
    assert offered == {f"foretype.{name}" for name in registered}
    assert all(item["title"] for item in package["contributes"]["commands"])


def test_a_changed_setting_reaches_the_server() -> None:
    source = (EXTENSION / "src" / "extension.ts").read_text(encoding="utf-8")
    assert "['path', 'languages', ...Object.keys(SERVER_SETTINGS)]" in source
    assert "affectsConfiguration('foretype.enabled')" in source


def test_versions_go_together(package: dict[str, Any]) -> None:
    project = (EXTENSION.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{package["version"]}"' in project

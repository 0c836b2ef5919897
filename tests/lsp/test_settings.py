"""Wrong settings are named and change nothing; a workspace can only restrict."""

from pathlib import Path

import pytest

from assistant.settings import Settings
from lsp.settings import ClientSettings, section_of


class Told:
    """Collects what the user would be shown."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, str]] = []

    def __call__(self, kind: str, text: str) -> None:
        self.warnings.append((kind, text))


def started(options: object) -> tuple[ClientSettings, Told]:
    told = Told()
    settings = ClientSettings(told)
    settings.initialize(options)
    return settings, told


@pytest.mark.parametrize("options", [None, {}, [], "x", {"foretype": None}, {"foretype": 5}])
def test_no_options_are_the_defaults(options: object) -> None:
    settings, told = started(options)
    assert (settings.current, told.warnings) == (Settings(), [])


def test_options_are_the_user_s_own() -> None:
    settings, told = started({"model": "/m", "deadline_ms": 200, "menu_completion": True})
    assert settings.current == Settings(model="/m", deadline_ms=200, menu_completion=True)
    assert told.warnings == []


def test_options_may_stand_under_our_name() -> None:
    assert started({"foretype": {"deadline_ms": 200}})[0].current.deadline_ms == 200


def test_wrong_option_is_named_and_the_others_count() -> None:
    settings, told = started({"deadline": 5, "deadline_ms": 100, "threads": "two", "model": 7})
    assert settings.current == Settings(deadline_ms=100)
    assert [kind for kind, _ in told.warnings] == [
        "setting deadline",
        "setting threads",
        "setting model",
    ]
    assert "deadline_ms" in told.warnings[0][1]  # the known names are told


def test_broken_settings_file_is_told_and_survived(private_home: Path) -> None:
    folder = private_home / "config" / "foretype"
    folder.mkdir()
    (folder / "settings.toml").write_text("deadline_ms = ")
    settings, told = started({"deadline_ms": 123, "index": True})
    assert settings.current == Settings(deadline_ms=123, index=False, allow_remote=False)
    assert [kind for kind, _ in told.warnings] == ["settings"]


def test_one_mistake_in_the_file_takes_back_no_exclusion(private_home: Path) -> None:
    folder = private_home / "config" / "foretype"
    folder.mkdir()
    (folder / "settings.toml").write_text(
        'exclude = ["private/"]\nstatistics = false\nshow = "quit"\nallow_remote = true\n'
    )
    settings, told = started({"allow_remote": True, "show": "quiet"})
    expected = Settings(
        exclude=("private/",), statistics=False, show="quiet", index=False, allow_remote=False
    )
    assert settings.current == expected
    ((kind, line),) = told.warnings
    assert kind == "settings" and line.endswith("nothing is sent to a server")


@pytest.mark.parametrize("wrong", [{"exclude": "private/"}, {"allow_remote": "no"}])
def test_a_wrong_guard_holds_files_back(wrong: dict[str, object]) -> None:
    settings, told = started(wrong | {"deadline_ms": 5})
    assert settings.current == Settings(deadline_ms=5, index=False, allow_remote=False)
    ((_, line),) = told.warnings
    assert line.endswith("no file is indexed, and nothing is sent to a server")


FROM_ELSEWHERE = {"model": "/evil", "log_file": "/evil", "threads": 9}


@pytest.mark.parametrize("name", FROM_ELSEWHERE)
def test_workspace_names_no_files_and_takes_no_more_of_the_machine(name: str) -> None:
    settings, told = started({"model": "/mine"})
    settings.change({"foretype": {name: FROM_ELSEWHERE[name]}})
    assert settings.current == Settings(model="/mine")
    assert [kind for kind, _ in told.warnings] == [f"setting {name}"]


def test_workspace_restricts_and_can_take_that_back() -> None:
    settings, told = started({"deadline_ms": 500})
    settings.change({"foretype": {"enabled": False, "deadline_ms": 100}})
    assert settings.current == Settings(enabled=False, deadline_ms=100)
    settings.change({"foretype": {"deadline_ms": 900}})
    assert settings.current == Settings(deadline_ms=500)
    assert told.warnings == []


def test_pushed_user_settings_that_are_in_force_are_no_fault() -> None:
    settings, told = started({"model": "/mine"})
    settings.change({"foretype": {"model": "/mine", "enabled": True, "log_file": None}})
    assert (settings.current, told.warnings) == (Settings(model="/mine"), [])


def test_other_programs_settings_in_a_pushed_configuration_are_theirs() -> None:
    settings, told = started({})
    for configuration in ({"python": {"enabled": False}}, {"enabled": False}, None, [], {}):
        settings.change(configuration)
    assert (settings.current, told.warnings) == (Settings(), [])


def test_excludes_are_added() -> None:
    settings, told = started({"exclude": ["a"]})
    settings.change({"foretype": {"exclude": ["b"]}})
    assert (settings.current.exclude, told.warnings) == (("a", "b"), [])


def test_section_is_found_in_any_shape() -> None:
    assert section_of({"foretype": {"a": 1}, "other": {}}) == {"a": 1}
    assert section_of({"a": 1}) == {"a": 1}
    assert section_of({"foretype": [1]}) == {}
    assert section_of(None) == {}


def test_an_old_name_is_understood_and_the_user_is_told() -> None:
    settings, told = started({"memory_mb": 9})
    assert settings.current == Settings(index_mb=9)
    settings.change({"foretype": {"memory": False}})
    assert settings.current == Settings(index=False, index_mb=9)
    assert told.warnings == [
        ("setting memory_mb", "setting memory_mb is now index_mb; the old name goes away in 0.3"),
        ("setting memory", "setting memory is now index; the old name goes away in 0.3"),
    ]

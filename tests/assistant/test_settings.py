"""Settings: layers, checks, and what a workspace may not do."""

import tomllib
from pathlib import Path

import pytest

from assistant.errors import AssistantError, SettingsError
from assistant.settings import (
    OLD_NAMES_END,
    RENAMED,
    Settings,
    load_settings,
    settings_from,
    settings_path,
)
from model.config import ConfigError


def write(text: str) -> Path:
    path = settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_layer_the_defaults_hold() -> None:
    assert load_settings(environ={}) == Settings()


def test_layers_override_one_another_in_order() -> None:
    write('model = "/from/file"\ndeadline_ms = 100\nthreads = 2\nmax_new_tokens = 20\n')
    variables = {"FORETYPE_DEADLINE_MS": "200", "FORETYPE_THREADS": "3"}
    assert load_settings({"threads": 4}, variables) == Settings(
        model="/from/file", deadline_ms=200, threads=4, max_new_tokens=20
    )


def test_excludes_of_all_layers_add_up() -> None:
    base = settings_from({"exclude": ["*.gen.py", "a/*"]})
    assert settings_from({"exclude": ["a/*", "b/*"]}, base=base).exclude == (
        "*.gen.py",
        "a/*",
        "b/*",
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"deadlin_ms": 5},
            "unknown setting deadlin_ms; known: allow_remote, deadline_ms, enabled, exclude",
        ),
        ({"enabled": 1}, "enabled must be true or false, got 1"),
        ({"model": None}, "model must be a text, got None"),
        ({"exclude": "*.py"}, "exclude must be a list of strings"),
        ({"exclude": [1]}, "exclude must be a list of strings"),
        ({"deadline_ms": 0}, r"deadline_ms must be in 1\.\.600000, got 0"),
        ({"threads": 1000}, r"threads must be in 1\.\.256, got 1000"),
        ({"max_new_tokens": 0}, r"max_new_tokens must be in 1\.\.512, got 0"),
        ({"multi_line": "always"}, "multi_line: 'always' is none of auto, never"),
        ({"show": "all"}, "show: 'all' is none of off, quiet, balanced, eager"),
    ],
)
def test_wrong_setting_is_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        settings_from(table)
    assert isinstance(caught.value, ConfigError | AssistantError)


@pytest.mark.parametrize("name", ["model", "log_file", "threads"])
def test_workspace_names_no_files_and_takes_no_processors(name: str) -> None:
    with pytest.raises(SettingsError, match=f"setting {name} is not read from a workspace"):
        settings_from({name: "x"}, origin="workspace")


def test_workspace_only_restricts() -> None:
    strict = Settings(
        enabled=False,
        multi_line="never",
        max_new_tokens=10,
        deadline_ms=50,
        menu_completion=False,
        show="quiet",
        index=False,
        exclude=("secret/*",),
        silent_in=("string",),
    )
    loose = {
        "enabled": True,
        "multi_line": "auto",
        "max_new_tokens": 500,
        "deadline_ms": 5_000,
        "menu_completion": True,
        "show": "eager",
        "index": True,
        "exclude": ["more/*"],
        "silent_in": [],
    }
    changed = settings_from(loose, origin="workspace", base=strict)
    assert changed == settings_from({"exclude": ["more/*"]}, base=strict)
    tighter = {"enabled": False, "multi_line": "never", "max_new_tokens": 5, "deadline_ms": 9}
    tighter |= {"show": "off", "index": False, "silent_in": ["comment"]}
    assert settings_from(tighter, origin="workspace") == settings_from(tighter)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = \n", "settings.toml: .*line 1"),
        ("show = quiet\n", "settings.toml: .*line 1.*; texts have quotes, true and false none"),
        (f"exclude = {'[' * 5_000}", "settings.toml: its values are nested too deeply"),
        ('modle = "x"\n', "settings.toml: unknown setting modle"),
        (
            'silent_in = ["prose"]\n',
            "silent_in: 'prose' is none of code, comment, docstring, string",
        ),
        ('kv_cache = "q4_0"\n', "kv_cache: 'q4_0' is none of f16, q8_0"),
        ("deadline_ms = -1\n", "settings.toml: deadline_ms must be in"),
    ],
)
def test_error_in_the_file_names_it(text: str, message: str) -> None:
    write(text)
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_file_that_is_not_text_is_named() -> None:
    write("").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"settings\.toml is not UTF-8 text"):
        load_settings()


def test_folder_in_the_place_of_the_file_is_an_error() -> None:
    settings_path().mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"settings\.toml is not a regular file"):
        load_settings()


def test_error_in_a_variable_names_it() -> None:
    with pytest.raises(SettingsError, match="FORETYPE_THREADS: a whole number is needed"):
        load_settings(environ={"FORETYPE_THREADS": "two"})
    with pytest.raises(SettingsError, match="FORETYPE_DEADLINE_MS: deadline_ms must be in"):
        load_settings(environ={"FORETYPE_DEADLINE_MS": "0"})


def test_defaults_survive_a_trip_through_toml() -> None:
    table = tomllib.loads(
        'enabled = true\nmodel = ""\nmulti_line = "auto"\nmax_new_tokens = 64\ndeadline_ms = 600\n'
        'threads = 1\ngpu_layers = 0\nexclude = []\nmenu_completion = false\nlog_file = ""\n'
        'show = "balanced"\nindex = true\nindex_mb = 512\nindex_dependencies = false\n'
        "allow_remote = true\nsnippets = true\nnext_edit = true\nstatistics = true\n"
        'silent_in = []\nflash_attention = false\nkv_cache = "f16"\n'
    )
    assert table.keys() == set(Settings.__slots__)
    assert settings_from(table) == Settings()


@pytest.mark.parametrize(
    ("old", "value"), [("memory", False), ("memory_mb", 9), ("memory_dependencies", True)]
)
def test_an_old_name_is_understood_and_said_to_go(
    old: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    write(f"{old} = {str(value).lower()}\n")
    assert load_settings() == settings_from({RENAMED[old]: value})
    line = f"setting {old} is now {RENAMED[old]}; the old name goes away in {OLD_NAMES_END}"
    assert caplog.messages == [line]


def test_a_name_of_today_wins_over_its_old_one() -> None:
    assert settings_from({"index": False, "memory": True}).index is False
    assert settings_from({"memory": True, "index": False}).index is False


def test_a_workspace_only_restricts_by_an_old_name_too() -> None:
    base = Settings(index=False, index_mb=5)
    asked = {"memory": True, "memory_mb": 9}
    assert settings_from(asked, origin="workspace", base=base) == base


def test_a_byte_order_mark_is_no_part_of_the_file() -> None:
    write("").write_bytes(b"\xef\xbb\xbfshow = 'eager'\r\n")
    assert load_settings().show == "eager"

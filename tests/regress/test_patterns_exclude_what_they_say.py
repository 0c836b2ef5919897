"""2026-11-29: `private/`, `private` and `**/private/**` in `exclude` and `deny` excluded nothing.

Cause: patterns were matched by fnmatch on the tail of a path, not by the rules of ignore files; one
that could match nothing was taken without a word.
"""

from pathlib import Path

import pytest

from assistant.errors import SettingsError
from assistant.path_patterns import matches
from assistant.privacy.exclusion import is_excluded
from assistant.settings import Settings


@pytest.mark.parametrize(
    "pattern", ["private/", "private", "**/private/**", "private/*", "private/**"]
)
@pytest.mark.parametrize("path", ["private/pay.py", "app/private/pay.py", "/w/repo/private/a/b.py"])
def test_every_spelling_of_a_folder_excludes_it(pattern: str, path: str) -> None:
    assert is_excluded(path, (pattern,))
    assert matches(path, (pattern,))


def test_double_star_may_be_empty() -> None:
    assert is_excluded("a.secret.py", ("**/*.secret.py",))


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("./private/*", "private/*"),
        ("src\\private", "src/private"),
        ("{a,b}.py", "one pattern each"),
        ("!private", "leave it out"),
        ("", "leave it out"),
        ("~/src/private/", "from the folder on"),
    ],
)
def test_pattern_that_can_match_nothing_is_refused(pattern: str, advice: str) -> None:
    with pytest.raises(SettingsError, match=r"exclude: .*") as error:
        Settings(exclude=(pattern,))
    assert advice in str(error.value)


def test_a_path_from_the_home_folder_on_is_refused() -> None:
    with pytest.raises(SettingsError, match="is an absolute path"):
        Settings(exclude=(f"{Path.home().as_posix()}/src/private/",))


@pytest.mark.parametrize("rest", ["", "/", "/private/", "/*.py", "/**"])
def test_a_path_from_the_root_of_the_machine_on_is_refused(tmp_path: Path, rest: str) -> None:
    (tmp_path / "private").mkdir()
    with pytest.raises(SettingsError, match="is an absolute path"):
        Settings(exclude=(tmp_path.as_posix() + rest,))
    with pytest.raises(SettingsError, match="is an absolute path"):
        Settings(exclude=("D:/projects/private/",))


def test_a_leading_slash_alone_is_no_absolute_path() -> None:
    for pattern in ("/usr/", "/tmp", "/private/keys/", "/*/keys.py"):
        assert is_excluded(f"app{pattern.replace('*', 'a')}/keys.py", (pattern,))
        Settings(exclude=(pattern,))


def test_folder_named_like_a_secret_holds_code_too() -> None:
    assert not is_excluded("src/credentials/store.py")
    assert is_excluded("src/credentials.py")


@pytest.mark.parametrize(
    ("pattern", "excluded", "other"),
    [
        ("*a" * 25 + "b.py", "a" * 200 + "b.py", "a" * 200 + ".py"),
        ("*one*two*six*ten*", "x/a_one_two_six_ten.py", "one.py"),
        ("*[ab]*[cd]*[ef]*[gh]*", "xaxcxexgx.py", None),
        ("a/**/b/**/c/**/d/**/*.py", "a/b/c/d/e.py", "b/c/d/e.py"),
        ("a/**/" * 25 + "b.py", "a/" * 60 + "b.py", "a/" * 60 + "c.py"),
    ],
)
def test_no_pattern_stops_the_server(pattern: str, excluded: str, other: str | None) -> None:
    """2026-11-30: a workspace's pattern of 12 stars took minutes at each key."""
    assert matches(excluded, (pattern,))
    assert other is None or not matches(other, (pattern,))

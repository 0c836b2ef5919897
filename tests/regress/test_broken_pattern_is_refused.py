"""2026-11-30: a range that runs backwards in `exclude` ended every command with a trace.

Cause: pathspec has `re` refuse such a pattern, with an error that is no ValueError. The same line
in a `.gitignore` without git ended the indexing of the folder; because of other broken lines the
whole file was forgotten, and what it names was indexed.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import SettingsError
from assistant.index.files import list_files
from assistant.path_patterns import find_mistake, ignore_spec, matches
from assistant.settings import Settings


@pytest.mark.parametrize("pattern", ["[z-a].py", "[Z-a].py"])
def test_setting_is_refused(pattern: str) -> None:
    with pytest.raises(SettingsError, match=r"exclude: .* is no pattern"):
        Settings(exclude=(pattern,))


@pytest.mark.parametrize("line", ["[z-a].py", "!"])
def test_line_of_an_ignore_file_costs_itself_alone(line: str, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text(f"private\n{line}\n*.log.py\n")
    for name in ("a.py", "private.py", "b.log.py", "private/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    names = set(list_files(tmp_path))
    assert names >= {"a.py", "private.py"}
    assert not names & {"b.log.py", "private/c.py"}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # re's, of brackets in brackets
@given(st.text(alphabet="[]!-*?ab/z^{}. \n#Zé\\", min_size=1, max_size=8))
def test_what_is_taken_can_be_asked(pattern: str) -> None:
    if not find_mistake(pattern):
        matches("a/b.py", (pattern,))
    ignore_spec(pattern.splitlines()).match_file("a/b.py")

"""Keys of `foretype serve`: where they are read from; and turns, whoever gives up while waiting."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import SettingsError
from assistant.serve.callers import Callers, Turns, read_keys

KEY = "a-key-of-some-length"


def key_file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "keys"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_keys_are_lines_and_the_variable(tmp_path: Path) -> None:
    file = key_file(tmp_path, f"# of the team\n\n{KEY}  # Ada\n{KEY}2\n")
    assert read_keys(file, "") == [KEY, f"{KEY}2"]
    assert read_keys(key_file(tmp_path, f"\ufeff{KEY}\r\n"), "") == [KEY]
    assert read_keys(file, "x" * 16)[0] == "x" * 16
    assert read_keys("", KEY) == [KEY]
    assert read_keys("", "") == []


@pytest.mark.skipif(os.name == "nt", reason="folders inherit permissions there")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        read_keys(key_file(tmp_path, KEY, mode), "")


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "short", "two words of a key", "schlüssel-der-lang-ist", "\0" * 20]
)
def test_file_without_good_keys_is_refused_and_none_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_keys(key_file(tmp_path, text), "")
    assert not text.strip() or text not in str(caught.value)


def test_header_needs_no_particular_case() -> None:
    callers = Callers([KEY, f"{KEY}2"], 1)
    assert callers.find(f"bearer {KEY}") == callers.find(f"Bearer  {KEY} ")
    assert callers.find(f"Bearer {KEY}") != callers.find(f"Bearer {KEY}2")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12))
def test_every_turn_is_given_once_whoever_gives_up(plan: list[tuple[str, bool]]) -> None:
    """Each of `plan` waits with a key, or gives up while it does."""
    active, served = [0], []

    async def take(turns: Turns, number: int, key: str) -> None:
        await turns.acquire(key.encode())
        active[0] += 1
        assert active[0] == 1
        await asyncio.sleep(0)
        served.append(number)
        active[0] -= 1
        turns.release()

    async def run() -> None:
        turns = Turns()
        await turns.acquire(b"first")
        works: list[Coroutine[Any, Any, None]] = [
            take(turns, number, key) for number, (key, _) in enumerate(plan)
        ]
        tasks = [asyncio.create_task(work) for work in works]
        await asyncio.sleep(0)
        for task, (_, leaves) in zip(tasks, plan, strict=True):
            if leaves:
                task.cancel()
        turns.release()  # some are cancelled, and have not noticed yet
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        assert turns.n_waiting == 0
        await asyncio.wait_for(turns.acquire(b"last"), 60)

    asyncio.run(run())
    assert sorted(served) == [number for number, (_, leaves) in enumerate(plan) if not leaves]


def test_callers_take_turns() -> None:
    order: list[str] = []

    async def take(turns: Turns, key: str) -> None:
        await turns.acquire(key.encode())
        order.append(key)
        turns.release()

    async def run() -> None:
        turns = Turns()
        await turns.acquire(b"")
        tasks = [asyncio.create_task(take(turns, key)) for key in "aaaabbc"]
        await asyncio.sleep(0)
        turns.release()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert "".join(order) == "abcabaa"

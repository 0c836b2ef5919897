"""Counts survive two writers and every kind of bad file, and are closed to others."""

import datetime
import os
import sqlite3
import stat
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.counts import (
    KEPT_DAYS,
    MIN_ENDED,
    STEP,
    STEP_DAYS,
    Statistics,
    StatisticsError,
    find_steps,
    read,
    reset,
    statistics_path,
    step,
)

DAY = datetime.date.today()


def counted(n: int = 1) -> Statistics:
    statistics = Statistics()
    statistics.add("python", "shown", n)
    return statistics


def test_counts_of_a_day_add_up() -> None:
    first, second = counted(2), counted(3)
    first.save()
    second.save()
    first.add("go", "shown")
    first.save()
    first.save()
    day = DAY.isoformat()
    assert sorted(read()) == [(day, "go", "shown", 1), (day, "python", "shown", 5)]
    assert read((DAY + datetime.timedelta(1)).isoformat()) == []


NAMES = ("ended", "claimed", "whole", "part", "typed", "looked_30", "kept_30")


@given(st.lists(st.integers(0, 1 << 70), min_size=len(NAMES), max_size=len(NAMES)))
def test_whatever_was_counted_a_step_is_small(counts: list[int]) -> None:
    its = Counter(dict(zip(NAMES, counts, strict=True)))
    assert -STEP <= step(its) <= STEP
    if its["ended"] < MIN_ENDED:
        assert step(its) == 0


@given(st.integers(MIN_ENDED, 5_000), st.data())
def test_the_more_is_of_use_the_less_sure_it_must_be(n: int, data: st.DataObject) -> None:
    claimed = data.draw(st.integers(0, 100 * n))
    few, many = sorted(data.draw(st.integers(0, n)) for _ in range(2))
    less, more = (step(Counter(ended=n, claimed=claimed, typed=of_use)) for of_use in (few, many))
    assert more <= less
    assert (more <= 0) or 100 * many <= claimed
    assert (less >= 0) or 100 * few >= claimed


def test_what_was_taken_and_not_kept_is_of_no_use() -> None:
    counts = Counter(ended=900, claimed=63_000, whole=600, part=30)
    assert step(counts) == 0
    assert step(counts | Counter(looked_30=10, kept_30=8)) == STEP


def test_a_step_goes_with_its_counts() -> None:
    old = Statistics(today=lambda: DAY - datetime.timedelta(STEP_DAYS))
    for statistics, language in ((old, "go"), (Statistics(), "python")):
        statistics.add(language, "ended", 200)
        statistics.add(language, "claimed", 200 * 60)
        statistics.add(language, "typed", 117)
        statistics.save()
    assert find_steps() == {"python": pytest.approx(0.01)}
    reset()
    assert find_steps() == {}
    counted().save()
    damage()
    assert find_steps() == {}


def test_only_the_owner_can_read() -> None:
    counted().save()
    assert stat.S_IMODE(statistics_path().stat().st_mode) == 0o600


def test_two_servers_lose_nothing() -> None:
    def write(statistics: Statistics) -> None:
        for _ in range(20):
            statistics.add("python", "shown")
            statistics.save()

    servers = [Statistics() for _ in range(4)]
    threads = [threading.Thread(target=write, args=(each,)) for each in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in servers:  # what the others kept from it
        each.save()
    assert read()[0][3] == 80


def test_old_days_go() -> None:
    old = Statistics(today=lambda: DAY - datetime.timedelta(KEPT_DAYS + 1))
    old.add("python", "shown")
    old.save()
    counted().save()
    assert [row[0] for row in read()] == [DAY.isoformat()]


def damage() -> None:
    statistics_path().write_bytes(b"no database" * 1_000)


def other_table() -> None:
    statistics_path().unlink()
    with sqlite3.connect(statistics_path()) as connection:
        connection.execute("CREATE TABLE counts (x)")
    connection.close()


def a_link() -> None:
    statistics_path().rename(statistics_path().with_name("elsewhere"))
    statistics_path().symlink_to("elsewhere")


def a_folder() -> None:
    statistics_path().unlink()
    statistics_path().mkdir()


def open_to_all() -> None:
    statistics_path().chmod(0o666)


@pytest.mark.parametrize("spoil", [damage, other_table, a_link, a_folder, open_to_all])
def test_a_bad_file_costs_counts_only(spoil: object) -> None:
    assert callable(spoil)
    counted().save()
    spoil()
    before = sorted(os.walk(statistics_path().parent))
    statistics = counted()
    statistics.save()
    statistics.save()
    assert sorted(os.walk(statistics_path().parent)) == before
    if spoil is not a_link:
        with pytest.raises(StatisticsError, match="--reset"):
            read()


def test_what_could_not_be_written_is_written_later() -> None:
    counted().save()
    damage()
    statistics = counted()
    statistics.save()
    reset()
    statistics.save()
    assert read() == [(DAY.isoformat(), "python", "shown", 1)]


def test_nothing_is_made_where_nothing_was_counted(private_home: Path) -> None:
    Statistics().save()
    assert read() == []
    reset()
    assert not (private_home / "data" / "foretype").exists()

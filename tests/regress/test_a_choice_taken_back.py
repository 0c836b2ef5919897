"""A model serves everywhere; in one repository the base, or nothing, is chosen (2026-11-30).

Causes: `models use base` wrote nothing where nothing had been chosen yet, and said that the base
serves; and a choice that was taken back stood for the base, so that what serves everywhere stayed
shut out.
"""

from pathlib import Path

from assistant.models.registry import Registry
from assistant.models.registry_file import EVERYWHERE
from tests.doubles import tiny_folder
from tests.own_models import HERE, added


def listed(place: Path) -> Registry:
    registry = Registry()
    added(registry, tiny_folder(place), repository="")
    registry.use(registry.entries()[0].name, EVERYWHERE)
    return registry


def test_base_is_chosen_where_another_serves_everywhere(tmp_path: Path) -> None:
    registry = listed(tmp_path)
    registry.use("base", HERE)
    assert registry.book().serving(HERE) is None
    assert registry.roll_back(HERE) == registry.entries()[0]


def test_a_choice_taken_back_is_none(tmp_path: Path) -> None:
    registry = listed(tmp_path)
    (entry,) = registry.entries()
    registry.use(entry.name, HERE)
    assert registry.roll_back(HERE) == entry
    registry.use("base", EVERYWHERE)
    assert registry.book().serving(HERE) is None

"""`foretype models`: list models of your own, choose which one serves a repository, remove one."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from assistant.cli.command import (
    BAD_USAGE,
    DONE,
    FAILED,
    CommandParser,
    agrees,
    run_command,
    say_error,
    write_json,
)
from assistant.errors import AssistantError, SettingsError
from assistant.models.registry import BASE, ModelsError, Registry
from assistant.models.selection import ALL, RepositoryPlace, choose, describe_models, find_place
from assistant.settings import load_settings

_EPILOG = """\
A model that was tuned on a repository is served for documents of that repository only. `base` is
the model for all others; it came with foretype. Editors that are open change over by themselves, at
the next quiet moment. A model that the setting `model` names is served everywhere, whatever is
chosen here. `add` takes a GGUF file or a Hugging Face folder: it is described and measured first,
and stays where it is.

exit codes: 0 done, 1 refused or not possible, 2 bad usage
"""
_HELP = (["-h"], ["--help"])
PRIVATE = (
    "the weights were tuned on private code and hold parts of it: whoever has this folder can get"
    " at them. Treat it as you treat the code"
)


def main(argv: Sequence[str]) -> int:
    """Run `foretype models` with its arguments; return the exit code."""

    def work() -> int:
        is_named = any(not word.startswith("-") for word in argv[:1]) or argv[:1] in _HELP
        args = _parser().parse_args([*argv] if is_named else ["list", *argv])
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)

    return run_command("models", work, (SettingsError, BAD_USAGE), (AssistantError, FAILED))


def _list(args: argparse.Namespace) -> int:
    try:
        place = find_place(_folder(args))
    except ModelsError:
        if args.repository:  # it was asked for by name
            raise
        place = None
    table = describe_models(Registry(), place, explicit=load_settings().model)
    write_json(table) if args.json else print(_format_overview(table))
    return DONE


def _format_overview(table: dict[str, Any]) -> str:
    lines = []
    if table["everywhere"] != BASE:
        lines.append(f"{table['everywhere']} serves wherever nothing was chosen")
    if table["root"]:
        pinned = ", pinned" if table["pinned"] else ""
        lines.append(f"{table['root']}: {table['serving']} serves{pinned}")
    if table["settings_model"]:
        lines.append(f"but the setting `model` names {table['settings_model']}, which wins")
    for item in table["models"]:
        mark = "*" if item["name"] == table["serving"] else " "
        use = "in use" if item["in_use"] else "not in use"
        lines.append(f"{mark} {item['name']}  ({item['kind']}, {item['created'][:10]}, {use})")
        if item["kind"] in ("gguf", "plain"):
            lines.append(f"    for any repository: {item['root']}")
        else:
            of = item["root"] or "no repository"
            lines.append(f"    of {of}, up to commit {item['trained_to'][:12]}")
            lines.append(f"    parent {item['parent'][:12]}, data {item['data_hash'][:12]}")
        scores = ", ".join(f"{name} {value:g}" for name, value in item["scores"].items())
        lines.append(f"    {scores or 'no scores'}")
    if not table["models"]:
        lines.append("There are no models of your own; `foretype tune` makes one, `add` takes one.")
    return "\n".join(lines)


def _add(args: argparse.Namespace) -> int:
    from assistant.cli.models_add import add

    found: list[str] = []
    entry = add(Registry(), Path(args.path), args.yes, found.append if args.json else print)
    if entry is None:
        print("Nothing was added.")
        return FAILED
    if args.json:
        write_json({"name": entry.name, "lines": found})
        return DONE
    print(f"{entry.name} is listed; serve it here: foretype models use {entry.name}")
    return DONE


def _use(args: argparse.Namespace) -> int:
    place = ALL if args.everywhere else find_place(_folder(args))
    choose(Registry(), args.name, place)
    return _say(args, place, f"{args.name} serves {place.root}")


def _pin(args: argparse.Namespace) -> int:
    place = find_place(_folder(args))
    registry = Registry()
    registry.pin(place.repository)
    return _say(args, place, f"{place.root} keeps {_serving(registry, place)}, whatever tune finds")


def _unpin(args: argparse.Namespace) -> int:
    place = find_place(_folder(args))
    Registry().pin(place.repository, is_pinned=False)
    return _say(args, place, f"`foretype tune` may choose for {place.root} again")


def _roll_back(args: argparse.Namespace) -> int:
    place = ALL if args.everywhere else find_place(_folder(args))
    entry = Registry().roll_back(place.repository)
    return _say(args, place, f"{entry.name if entry else BASE} serves {place.root} again")


def _remove(args: argparse.Namespace) -> int:
    registry = Registry()
    if args.name not in [entry.name for entry in registry.entries()]:
        registry.remove(args.name)  # says which there are
    question = f"Remove {args.name}? What was tuned cannot be had back but by tuning again."
    if not (args.yes or agrees(question)):
        print("Nothing was removed.")
        return FAILED
    registry.remove(args.name, force=args.force)
    return _say(args, None, f"{args.name} is removed")


def _export(args: argparse.Namespace) -> int:
    Registry().export(args.name, Path(args.out), args.type)
    say_error("models", f"{PRIVATE}.")
    return _say(args, None, f"{args.name} is copied to {Path(args.out).absolute()}")


def _folder(args: argparse.Namespace) -> Path:
    folder = Path(args.repository or ".").absolute()
    if not folder.is_dir():
        raise ModelsError(f"{args.repository} is not a folder")
    return folder


def _serving(registry: Registry, place: RepositoryPlace) -> str:
    entry = registry.find_entry(place.repository)
    return entry.name if entry else BASE


def _say(args: argparse.Namespace, place: RepositoryPlace | None, sentence: str) -> int:
    """Print what was done; as JSON, with how things stand."""
    explicit = load_settings().model
    if args.json:
        table = describe_models(Registry(), place, explicit=explicit)
        write_json(table | {"message": sentence})
        return DONE
    print(f"{sentence}.")
    if explicit and place is not None:
        print(f"But the setting `model` names {explicit}, which wins.")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="foretype models",
        description="The models of your own: which there are, and which one serves a repository.",
        epilog=_EPILOG,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    def action(
        name: str, run: Callable[[argparse.Namespace], int], text: str, *positional: str
    ) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=text)
        for each in positional:
            added.add_argument(each, metavar=each.upper())
        added.add_argument("--json", action="store_true", help="print JSON")
        where = "which one (default: around this folder)"
        added.add_argument("--repository", default="", metavar="DIR", help=where)
        added.set_defaults(run=run)
        return added

    action("list", _list, "list the models, with parent, data and scores (the default)")
    adding = action("add", _add, "describe, measure and list a model of others", "path")
    adding.add_argument("--yes", action="store_true", help="do not ask")
    using = action("use", _use, "serve a model here; `base` returns to the base", "name")
    going_back = action("rollback", _roll_back, "return to what served here before")
    for either in (using, going_back):
        everywhere = "in all repositories without a choice of their own"
        either.add_argument("--everywhere", action="store_true", help=everywhere)
    action("pin", _pin, "keep what serves here, whatever `foretype tune` finds")
    action("unpin", _unpin, "let `foretype tune` choose again")
    removing = action("remove", _remove, "delete a model", "name")
    removing.add_argument("--force", action="store_true", help="even one that is in use")
    removing.add_argument("--yes", action="store_true", help="do not ask")
    exporting = action("export", _export, "copy a model folder elsewhere", "name", "out")
    help_ = "of matrices, where OUT ends in .gguf (default: f16)"
    exporting.add_argument("--type", choices=("f16", "q8_0"), default="f16", help=help_)
    return parser

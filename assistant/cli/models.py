"""`foretype models`: list your own models and take in those of others, choose which one serves."""

import argparse
import dataclasses
import datetime
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
from assistant.doctor.timing import SLOW_MS, type_line
from assistant.errors import AssistantError, SettingsError
from assistant.generate.backend import TREE_TOKENS
from assistant.generate.engine import Engine
from assistant.models.registry import Registry
from assistant.models.registry_file import BASE, ModelEntry, ModelsError, slug
from assistant.models.selection import ALL, RepositoryPlace, choose, describe_models, find_place
from assistant.settings import Settings, load_settings
from model.files import from_root
from model.folder import ModelFolderError
from model.foreign import GgufModel, PlainFolder, is_plain_folder, load_model, write_reference
from model.onnx_cache import delete_graphs
from model.runtime import RuntimeLoadError, open_runtime

_EPILOG = """\
A model that was tuned on a repository is served for documents of that repository only. `base` is
the model for all others; it came with foretype. Editors that are open change over by themselves, at
the next quiet moment. A model that the setting `model` names is served everywhere, whatever is
chosen here. `add` takes a GGUF file or a Hugging Face folder: it is described and measured first,
and stays where it is; `foretype models fit NAME` then fits what ranks and silences it to your code.

exit codes: 0 done, 1 refused or not possible, 2 bad usage
"""
_HELP = (["-h"], ["--help"])
_MEASURED = (
    "measured here  reads {read_tokens_s:.0f} and writes {written_tokens_s:.0f} tokens/s; a key"
    " that it answers takes {key_p50_ms:.0f} ms, one in twenty {key_p95_ms:.0f} ms"
)
_TOO_SLOW = (
    "warning        too slow for grey text while one types; `threads`, `gpu_layers` or a"
    " smaller model may help"
)
REFERENCES = ("gguf", "plain")  # kinds of models of others, which stay where they are
READ_TOKENS, WRITTEN_TOKENS = 128, 16  # run to see how fast a model is
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
        if item["kind"] in REFERENCES:
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
    """Describe and measure a model of others, then list it."""
    path, settings = from_root(Path(args.path).expanduser()), load_settings()
    found: list[str] = []
    say: Callable[[str], None] = found.append if args.json else print
    try:
        if not path.exists():
            raise ModelsError(f"there is no {path}; check the path")
        if path.suffix != ".gguf" and not is_plain_folder(path):
            raise ModelsError(
                f"{path} is no GGUF file (NAME.gguf) and no Hugging Face folder; a folder of"
                " foretype's is named by the setting `model`"
            )
        model = load_model(path)
        assert isinstance(model, GgufModel | PlainFolder)
        for line in _describe(model):
            say(line)
        scores = _measure(model, settings)
    except (ModelFolderError, RuntimeLoadError) as error:
        raise ModelsError(str(error)) from error
    say(_MEASURED.format(**scores))
    if scores["key_p95_ms"] > min(SLOW_MS, settings.deadline_ms):
        say(_TOO_SLOW)
    if not (args.yes or agrees(f"Add {path.name}?")):
        delete_graphs(model.content_hash)
        print("Nothing was added.")
        return FAILED
    entry = _enter(path, model, scores)
    if args.json:
        write_json({"name": entry.name, "lines": found})
    else:
        print(f"{entry.name} is listed; serve it here: foretype models use {entry.name}")
    return DONE


def _describe(model: GgufModel | PlainFolder) -> Iterator[str]:
    """Yield lines; ModelsError where this machine has not the memory for it."""
    info = model.info
    if isinstance(model, GgufModel):
        kind, n_params, says = model.header.architecture, model.header.n_params, "the file says"
    else:
        kind, n_params, says = model.architecture, model.config.n_params, "its card says"
    memory = model.memory_bytes(info.block_size + TREE_TOKENS)
    order = "what is before the cursor" if info.fim_layout == "psm" else "suffix"
    how = f"as {model.family} does, {order} first"
    if info.fim_layout == "left":
        how = "none: only what is before the cursor is read"
    yield f"model          {info.name}"
    yield f"architecture   {kind}, {n_params / 1e6:.0f}M parameters"
    yield f"licence        {info.licence} (what {says}; read it)"
    yield f"infilling      {how}"
    yield f"memory         about {memory / 1e6:.0f} MB, for {info.block_size} tokens of text"
    if memory > (here := _memory_here()):
        raise ModelsError(f"that is more than the {here / 1e6:.0f} MB that this machine has")


def _memory_here() -> float:
    """Return the machine's bytes of memory, infinite where it does not say."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", ()):
        return math.inf
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _measure(model: GgufModel | PlainFolder, settings: Settings) -> dict[str, float]:
    """Run the network and type a line; return tokens a second and milliseconds a key."""
    runtime = open_runtime(model, max_len=READ_TOKENS + WRITTEN_TOKENS, **settings.run_options)
    ids = model.tokenizer().encode("values = [x + 1 for x in items]\n" * READ_TOKENS)
    ids = ids[:READ_TOKENS]
    started = time.perf_counter()
    runtime.append(ids)
    read_s = time.perf_counter() - started
    started = time.perf_counter()
    for id_ in ids[:WRITTEN_TOKENS]:
        runtime.append([id_])
    written_s = time.perf_counter() - started
    engine = Engine(
        dataclasses.replace(settings, model=str(model.path), show="eager", enabled=True, index=True)
    )
    engine.load()
    first, *rest = type_line(engine)  # the first reads the file
    keys = [key.ms for key in rest if key.is_computed] or [first.ms]
    return {
        "read_tokens_s": len(ids) / read_s,
        "written_tokens_s": WRITTEN_TOKENS / written_s,
        "key_p50_ms": statistics.median(keys),
        "key_p95_ms": float(np.quantile(keys, 0.95)),
    }


def _enter(path: Path, model: GgufModel | PlainFolder, scores: dict[str, float]) -> ModelEntry:
    registry = Registry()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        entry = ModelEntry(
            name=registry.free_name(slug(path.stem)),
            repository="",
            root=str(path.resolve()),
            content_hash=write_reference(folder, path).content_hash,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            kind="gguf" if isinstance(model, GgufModel) else "plain",
            scores={name: round(value, 1) for name, value in scores.items()},
        )
        listed = registry.add(folder, entry)
    if listed.root != entry.root:
        raise ModelsError(
            f"this model is listed as {listed.name}, at {listed.root}; if it was moved:"
            f" `foretype models remove {listed.name} --force`, and add it again"
        )
    return listed


def _use(args: argparse.Namespace) -> int:
    place = ALL if args.everywhere else find_place(_folder(args))
    choose(Registry(), args.name, place)
    return _say(args, place, f"{args.name} serves {place.root}")


def _pin(args: argparse.Namespace) -> int:
    place = find_place(_folder(args))
    registry = Registry()
    registry.pin(place.repository)
    name = registry.book().serving_name(place.repository)
    return _say(args, place, f"{place.root} keeps {name}, whatever tune finds")


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
    entry = next((entry for entry in registry.entries() if entry.name == args.name), None)
    if entry is None:
        registry.remove(args.name)  # says which there are
    question = f"Remove {args.name}? What was tuned cannot be had back but by tuning again."
    if entry is not None and entry.kind in REFERENCES:
        question = (
            f"Take {args.name} off the list? {entry.root} stays, what `models fit` made goes."
        )
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
    folder = from_root(Path(args.repository or "."))
    if not folder.is_dir():
        raise ModelsError(f"{args.repository} is not a folder")
    return folder


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
    text = "The models of your own: which there are, and which one serves a repository."
    parser = CommandParser(prog="foretype models", description=text, epilog=_EPILOG)
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

"""`foretype models add`: what a model of others is, how fast it is here, and then into the list."""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from assistant.cli.command import agrees
from assistant.doctor.timing import SLOW_MS, type_line
from assistant.generate.backend import TREE_TOKENS
from assistant.generate.engine import Engine
from assistant.models.registry import Registry
from assistant.models.registry_file import ModelEntry, ModelsError, slug
from assistant.settings import Settings, load_settings
from model.folder import ModelFolderError
from model.gguf_model import GgufModel, load_model, write_reference
from model.onnx_cache import OnnxCacheError, delete_graphs
from model.plain_folder import PlainFolder, is_plain_folder
from model.runtime import RuntimeLoadError, open_runtime

READ_TOKENS, WRITTEN_TOKENS = 128, 16  # run to see how fast it is


def add(
    registry: Registry, path: Path, is_agreed: bool, say: Callable[[str], object]
) -> ModelEntry | None:
    """Describe and measure a model of others, then list it; None if that was not wanted."""
    path = path.expanduser().absolute()
    settings = load_settings()
    try:
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
    except (ModelFolderError, RuntimeLoadError, OnnxCacheError) as error:
        raise ModelsError(str(error)) from error
    say(
        "measured here  reads {read_tokens_s:.0f} and writes {written_tokens_s:.0f} tokens/s; a key"
        " that it answers takes {key_p50_ms:.0f} ms, one in twenty {key_p95_ms:.0f} ms".format(
            **scores
        )
    )
    if scores["key_p95_ms"] > min(SLOW_MS, settings.deadline_ms):
        say(
            "warning        too slow for grey text while one types; `threads`, `gpu_layers` or a"
            " smaller model may help"
        )
    if not (is_agreed or agrees(f"Add {path.name}?")):
        delete_graphs(model.content_hash)
        return None
    return _list(registry, path, model, scores)


def _describe(model: GgufModel | PlainFolder) -> Iterator[str]:
    """Yield lines; ModelsError where this machine has not the memory for it."""
    info = model.info
    if isinstance(model, GgufModel):
        kind, n_params, says = model.header.architecture, model.header.n_params, "the file says"
    else:
        kind, n_params, says = model.architecture, model.config.n_params, "its card says"
    memory = model.memory_bytes(info.block_size + TREE_TOKENS)
    asked = {"left": "none: only what is before the cursor is read"}
    orders = {"psm": "what is before the cursor first", "spm": "suffix first"}
    how = asked.get(info.fim_layout) or (
        f"as {model.family} does, {orders.get(info.fim_layout, orders['spm'])}"
    )
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


def _list(
    registry: Registry, path: Path, model: GgufModel | PlainFolder, scores: dict[str, float]
) -> ModelEntry:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        entry = ModelEntry(
            name=registry.free_name(slug(path.stem)),
            repository="",
            root=str(path.resolve()),
            content_hash=write_reference(folder, path).content_hash,
            parent="",
            data_hash="",
            trained_to="",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            kind="gguf" if isinstance(model, GgufModel) else "plain",
            scores={name: round(value, 1) for name, value in scores.items()},
        )
        return registry.add(folder, entry)

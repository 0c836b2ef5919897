"""From a recipe to a corpus folder: sources, licences, filters, scrub, duplicates, splits.

Streams: memory holds a few sources at a time, and about 5 kB for each text kept, to find near
duplicates. The folder appears complete or not at all. What each source gave stays in
`OUT.parts`: an interrupted run goes on from there, and one of more sources reads only the new ones.
The manifest has a row for each source, and sums over rows. Knows no token.
"""

import argparse
import dataclasses
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.config import ConfigError
from training.cli import report_mistakes
from training.data import decontaminate
from training.data.collect import Collected, Kept, Rules, SourceParts, contents
from training.data.corpus import MANIFEST, SPLITS, SplitWriter, format_summary, write_manifest
from training.data.decontaminate import NEAR_EVALUATION, Duplicates, Overlap
from training.data.filters import hash_frac, text_of
from training.data.folders import new_folder
from training.data.progress import count_shown
from training.data.sources import Source, find_sources, normalise
from training.data.workers import map_in_order
from training.errors import TrainingError
from training.recipe import PATH_SETTINGS, CorpusRecipe, expand, load_corpus_recipe

_NAMED = 3  # sources in a message
_MAX_HITS = 1000  # in the manifest


def main(argv: Sequence[str]) -> int:
    """Run the command; errors of the user's making are one line on stderr."""
    text = "Prepare a training corpus: a folder with texts, an index and a manifest."
    parser = argparse.ArgumentParser(prog="foretype data prepare", description=text)
    option = parser.add_argument
    option("recipe", type=Path, help="TOML file with a [corpus] table")
    option("--out", type=Path, required=True, help="the folder to write")
    text = "a git repository or folder, besides the recipe's; repeatable"
    option("--source", action="append", default=[], metavar="[OWNER/NAME=]GLOB", help=text)
    option("--processes", type=int, help="worker processes (default: the recipe's)")
    text = "of a Dask cluster whose workers take their place and see the same files"
    option("--scheduler", default="", metavar="ADDRESS", help=text)
    option("--force", action="store_true", help="replace a corpus that is there")
    return report_mistakes("data prepare", lambda: _run(parser.parse_args(argv)))


def _run(args: argparse.Namespace) -> None:
    recipe = load_corpus_recipe(args.recipe)
    recipe = dataclasses.replace(recipe, sources=(*recipe.sources, *args.source))
    if args.processes is not None:
        recipe = dataclasses.replace(recipe, processes=args.processes)
    manifest = prepare(recipe, args.out, replace=args.force, scheduler=args.scheduler)
    sys.stdout.write(format_summary(manifest))


def prepare(
    recipe: CorpusRecipe, out: Path, *, replace: bool = False, scheduler: str = ""
) -> dict[str, Any]:
    """Write the corpus folder `out` and return its manifest."""
    never = decontaminate.load_never_train(
        expand(recipe.never_train, "never_train"),
        expand(recipe.evaluation_repositories, "evaluation_repositories"),
    )
    sources = find_sources(recipe.sources)
    if not sources:
        raise ConfigError("the recipe names no sources that exist")
    refused = {
        source.name: why
        for source in sources
        if (why := decontaminate.find_reason(source.name, never))
    }
    wanted = _validation_first([s for s in sources if s.name not in refused], recipe)
    with new_folder(out, marker=MANIFEST, replace=replace) as part:
        duplicates = Duplicates(recipe.near_duplicate)
        rules = _rules(recipe, [s for s in sources if s.name in refused], duplicates)
        parts = SourceParts(out.with_name(f"{out.name}.parts"), rules)
        n_workers = min(recipe.processes, len(wanted))
        collected = map_in_order(parts.collect, wanted, processes=n_workers, scheduler=scheduler)
        found = zip(wanted, count_shown("sources", collected, len(wanted)), strict=True)
        rows, hits = _write(part, recipe, found, duplicates)
        manifest = make_manifest(rows, refused, rules, hits)
        if not manifest["totals"]["train"]["files"]:
            raise TrainingError(f"the corpus is empty: {_why_empty(manifest, recipe)}")
        write_manifest(part, manifest | {"recipe_sha256": recipe_hash(recipe)})
    parts.keep(wanted)
    return manifest


def recipe_hash(recipe: CorpusRecipe) -> str:
    """Return what tells a corpus of this recipe from those of others."""
    text = json.dumps(dataclasses.asdict(recipe) | {"processes": 0}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _why_empty(manifest: dict[str, Any], recipe: CorpusRecipe) -> str:
    """Say what all sources and files were lost to."""
    totals = manifest["totals"]
    if totals["validation"]["files"]:
        return "all that was kept is held out; name fewer repositories in corpus.validation"
    if totals["files_seen"]:
        reasons = (f"{reason}: {n}" for reason, n in manifest["reasons"].items())
        return f"all {totals['files_seen']} files were left out ({', '.join(reasons)})"
    whole = [*manifest["refused_by_name"], *(row for row in manifest["sources"] if row["refused"])]
    if whole:
        names = ", ".join(f"{row['name']}: {row['refused']}" for row in whole[:_NAMED])
        more = f" and {len(whole) - _NAMED} more" if len(whole) > _NAMED else ""
        advice = "; your own code needs no licence with corpus.own = true" * (not recipe.own)
        return f"no source could be used ({names}{more}){advice}"
    return f"the sources hold no file that ends with {', '.join(recipe.suffixes)}"


def is_validation(name: str, recipe: CorpusRecipe) -> bool:
    """Say whether a source is one of those held out."""
    return normalise(name) in map(normalise, recipe.validation)


def _validation_first(sources: list[Source], recipe: CorpusRecipe) -> list[Source]:
    """Order sources so that a text of a held-out repository is never kept for training first."""
    known = {normalise(source.name) for source in sources}
    if missing := [name for name in recipe.validation if normalise(name) not in known]:
        raise ConfigError(
            f"validation names {missing[0]}, which is not among the sources that may be used"
        )
    return sorted(sources, key=lambda source: (not is_validation(source.name, recipe), source.name))


def _rules(recipe: CorpusRecipe, refused: list[Source], duplicates: Duplicates) -> Rules:
    """Gather what evaluation sets hold: problems, and the files of repositories kept out."""
    blocked: set[bytes] = set()
    for source in [*refused, *find_sources(recipe.evaluation_sources)]:
        for content in contents(source, recipe):
            blocked.add(decontaminate.content_hash(content))
            if (text := text_of(content)) is not None:
                duplicates.keep_out(text)
    texts = decontaminate.benchmark_texts(expand(recipe.benchmarks, "benchmarks"))
    overlap = Overlap(texts, recipe.overlap_words)
    return Rules(recipe=recipe, blocked=frozenset(blocked), overlap=overlap)


def _write(
    part: Path,
    recipe: CorpusRecipe,
    found: Iterable[tuple[Source, Collected]],
    duplicates: Duplicates,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Write the texts; return the rows of the manifest, and what evaluation sets share."""
    rows: list[dict[str, Any]] = []
    hits: list[dict[str, str]] = []
    with SplitWriter(part, "train") as train, SplitWriter(part, "validation") as validation:
        for source, collected in found:
            name = source.name
            share = 1.0 if is_validation(name, recipe) else recipe.validation_file_frac
            kept: list[Kept] = []
            held_out: list[Kept] = []
            for file in collected.files:
                if reason := duplicates.reason(file.text):
                    collected.refuse(reason)
                    if reason == NEAR_EVALUATION:
                        collected.hits.append((file.path, "nearly the same file"))
                    continue
                kept.append(file)
                is_out = hash_frac(f"validation file {recipe.seed} {name} {file.path}") < share
                held_out += [file] if is_out else []
                writer = validation if is_out else train
                writer.add(source=name, path=file.path, text=file.text.encode(), sha256=file.sha256)
            rows.append(source_row(source, collected, kept, held_out))
            hits += [{"source": name, "path": path, "shared": it} for path, it in collected.hits]
    return rows, hits


def source_row(
    source: Source, collected: Collected, kept: Sequence[Kept], held_out: Sequence[Kept]
) -> dict[str, Any]:
    """Return the manifest's row of a source, of whose files `kept` came into the corpus.

    `held_out` are those of them that are in `validation`.
    """
    return {
        "name": source.name,
        "commit": source.commit,
        "files_sha256": _digest(kept),
        "licence": collected.licence,
        "refused": collected.refused,
        "split": SPLITS[bool(held_out) and len(held_out) == len(kept)],
        "files_seen": collected.n_seen,
        "files": len(kept),
        "bytes": sum(file.n_bytes for file in kept),
        "files_held_out": len(held_out),
        "bytes_held_out": sum(file.n_bytes for file in held_out),
        "files_scrubbed": sum(bool(file.scrubbed) for file in kept),
        "scrubbed": _sum(file.scrubbed for file in kept),
        "reasons": _sum([collected.refusals]),
    }


def _digest(files: Iterable[Kept]) -> str:
    """Return one hash of the files taken, by path: a folder has no commit that would pin them."""
    digest = hashlib.sha256()
    for kept in sorted(files, key=lambda kept: kept.path):
        digest.update(f"{kept.sha256}  {kept.path}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def make_manifest(
    rows: list[dict[str, Any]], refused: Mapping[str, str], rules: Rules, hits: list[dict[str, str]]
) -> dict[str, Any]:
    """Return the whole manifest; `refused` are the sources that were not even opened."""
    used = [row for row in rows if not row["refused"]]
    kept, held_out = (
        {what: sum(row[f"{what}{end}"] for row in used) for what in ("files", "bytes")}
        for end in ("", "_held_out")
    )
    return {
        "settings": _settings(rules),
        "totals": {
            "sources": len(rows) + len(refused),
            "sources_refused": len(refused) + len(rows) - len(used),
            "files_seen": sum(row["files_seen"] for row in used),
            "train": {what: n - held_out[what] for what, n in kept.items()},
            "validation": held_out,
        },
        "reasons": _sum(row["reasons"] for row in used),
        "scrubbed": {
            "files": sum(row["files_scrubbed"] for row in rows),
            "kinds": _sum(row["scrubbed"] for row in rows),
        },
        "evaluation": {
            "blocked_files": len(rules.blocked),
            "benchmark_runs": len(rules.overlap),
            "n_hits": len(hits),
            "hits": hits[:_MAX_HITS],
        },
        "refused_by_name": [
            {"name": name, "refused": why} for name, why in sorted(refused.items())
        ],
        "sources": rows,
    }


def _settings(rules: Rules) -> dict[str, Any]:
    """Return the recipe; where files lay on this machine is nobody's business."""
    settings = dataclasses.asdict(rules.recipe)
    for key in PATH_SETTINGS:  # what they were is in the rows
        settings[key] = len(settings[key])
    settings["benchmarks"] = sorted(Path(path).name for path in rules.recipe.benchmarks)
    return settings


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of counts, the largest first; equal ones in the alphabet's order."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))

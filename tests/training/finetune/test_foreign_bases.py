"""A folder of others is tuned by adapters as ours are: same rows and judge, one kind of folder."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.models.registry import ModelEntry, Registry
from model.folder import load_folder
from model.foreign import load_model, write_reference
from model.gguf_export import export_gguf
from model.runtime import open_runtime
from tests.foreign_folders import folder_of, split_by, tokenizers, trained, transformers
from tests.histories import scripted_tuner, small_request
from training.data.collect import Kept
from training.data.shards import ShardReader
from training.errors import TuneError
from training.finetune import cli, run, session, texts
from training.finetune.plan import make_plan
from training.finetune.request import TuneRequest
from training.finetune.session import tune
from training.finetune.texts import GENERAL

pytestmark = [
    pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("shared_cache")
]  # fmt: skip
END, BEGIN = "<|endoftext|>", "<|begin|>"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Let no second thread be waited for, whatever ran before: processors may be busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A Llama whose texts begin with a marker, and that has none for infilling."""
    tokenizer = trained(split_by("gpt-2"), [BEGIN])
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)]
    )
    folder_of(tmp_path / "them", "Llama", tokenizer)
    return tmp_path / "them"


@pytest.fixture
def request_for(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> TuneRequest:
    monkeypatch.setattr(texts, "MIN_TOKENS", 1_000)
    monkeypatch.setattr(session, "MAX_BYTES", 2_000)
    monkeypatch.setattr(run, "_BATCH_TOKENS", (512, 512))  # ten steps an epoch
    found = small_request(tmp_path)
    options = dataclasses.replace(found.options, lora_rank=8, n_tasks=4)
    return dataclasses.replace(found, base=base, options=options)


def test_what_is_tuned_reads_as_the_base_does_and_can_be_taken_elsewhere(
    request_for: TuneRequest, tmp_path: Path
) -> None:
    outcome = scripted_tuner()(request_for)
    bits = outcome.result["training"]["bits"]
    assert bits == sorted(bits, reverse=True)
    assert bits[-1] < 0.997 * bits[0]
    [entry] = Registry().entries()
    assert (entry.kind, entry.parent) == ("lora", outcome.plan.base.content_hash)
    place = Registry().find_folder(outcome.plan.repository_id)
    assert place is not None
    before, after = load_model(request_for.base), load_folder(place)
    assert (after.config, after.info.fim_layout) == (before.config, "left")
    ids = [*after.tokenizer().start_ids, *after.tokenizer().encode("def handle_1(request):\n")]
    assert ids == [
        *before.tokenizer().start_ids,
        *before.tokenizer().encode("def handle_1(request):\n"),
    ]
    assert after.tokenizer().end_id == before.tokenizer().end_id
    ours = open_runtime(after, bits=32).append(ids, all_logits=True)
    assert not np.allclose(ours, open_runtime(before, bits=32).append(ids, all_logits=True))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    with torch.no_grad():
        assert np.abs(theirs(torch.tensor([ids])).logits[0].numpy() - ours).max() < 1e-3
    named = transformers.AutoTokenizer.from_pretrained(place)
    assert (named.eos_token, len(named)) == (END, after.tokenizer().vocab_size)
    export_gguf(after, tmp_path / "out.gguf")
    Registry().remove(entry.name, force=True)
    assert not place.exists()
    assert load_model(request_for.base).content_hash == before.content_hash


def test_the_same_judge_decides(request_for: TuneRequest) -> None:
    outcome = tune(request_for)
    verdict = outcome.result["verdict"]
    assert not verdict["promoted"]
    assert any("cursors that could be judged: " in reason for reason in verdict["reasons"])
    assert verdict["scores"]["bits_tuned"] < verdict["scores"]["bits_base"]
    assert Registry().entries() == []


def test_rows_are_in_the_format_of_the_base(base: Path, tmp_path: Path) -> None:
    own = tuple(Kept(source=GENERAL, path=f"{n}.py", text=f"x_{n} = {n}\n" * 90) for n in range(9))
    model = load_model(base)
    tokenizer, settings = model.tokenizer(), texts.pack_settings(model.info, seed=0)
    made = texts.TuneTexts(own=own, general=())
    texts.write_rows(tmp_path / "rows", made, tokenizer, settings, n_epochs=1)
    found = ShardReader(texts.epoch_folder(tmp_path / "rows", 0))
    ids = np.concatenate([found[i] for i in range(len(found))])
    assert {int(i) for i in ids if tokenizer.is_special(int(i))} == {
        tokenizer.end_id, *tokenizer.start_ids
    }  # fmt: skip
    assert all(found[i][0] == tokenizer.start_ids[0] for i in range(len(found)))
    bare = dataclasses.replace(model.info, fim_layout="bare")
    with pytest.raises(TuneError, match="are not made: take another base"):
        texts.pack_settings(bare, seed=0)


def test_begins_with_the_model_of_others_that_serves(
    request_for: TuneRequest, tmp_path: Path
) -> None:
    registry = Registry()
    plan = make_plan(request_for, registry)
    found = write_reference(tmp_path / "them-1", request_for.base)
    entry = ModelEntry(
        name="them-1", repository="", root=str(request_for.base), content_hash=found.content_hash,
        parent="", data_hash="", trained_to="", created="", kind="plain",
    )  # fmt: skip
    registry.use(registry.add(tmp_path / "them-1", entry).name, plan.repository_id)
    assert cli._base_for(request_for.repository) == registry.place("them-1")
    own = make_plan(dataclasses.replace(request_for, base=registry.place("them-1")), registry)
    assert (own.base, own.serving) == (own.serving, own.base)
    assert own.base.content_hash == plan.base.content_hash

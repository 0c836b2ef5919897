"""A run with a teacher: it learns from another network's answers and knows whose they were."""

from pathlib import Path

import pytest
import torch

from model.config import ConfigError, ModelConfig
from model.folder import load_folder
from tests.doubles import tiny_folder
from tests.training.pretrain.test_trainer import assert_same, trainer, weights
from training.errors import TrainingError

SHAPE = ModelConfig(
    vocab_size=512, n_layer=2, n_head=2, n_kv_head=1, n_embd=32, n_inner=48, block_size=64,
    head_dim=16,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path, config=SHAPE)


def taught(folder: Path, **train: object):  # type: ignore[no-untyped-def]
    return trainer(teacher=str(folder), vocab_size=512, **train)


def test_run_learns_from_the_answers_and_resumes_exactly(folder: Path, tmp_path: Path) -> None:
    run, alone = taught(folder), trainer(vocab_size=512)
    losses = [run.step() for _ in range(4)]
    assert losses[0] == alone.step()  # the loss stays that of the text
    run.save(tmp_path / "run")
    again = taught(folder)
    assert again.resume(tmp_path / "run")
    assert again.progress.teacher == load_folder(folder).content_hash
    assert [run.step(), run.step()] == [again.step(), again.step()]
    assert_same(weights(run), weights(again))


def test_all_from_the_teacher_ends_nearer_to_it_than_to_the_text(folder: Path) -> None:
    def distance(share: float) -> float:
        run = taught(folder, teacher_share=share)
        for _ in range(20):
            run.step()
        assert run.teacher is not None
        ids = torch.arange(64).reshape(2, 32)
        answer = run.teacher.answer(ids)
        theirs = (answer.hidden @ answer.weight.T).softmax(-1)
        return float((run.network(ids).softmax(-1) - theirs).abs().sum(-1).mean().detach())

    assert distance(1.0) < 0.7 * distance(0.0)


def test_other_teacher_does_not_go_on_with_a_run(folder: Path, tmp_path: Path) -> None:
    taught(folder).save(tmp_path / "run")
    other = tiny_folder(tmp_path, name="other", seed=1, config=SHAPE)
    with pytest.raises(TrainingError, match="was taught by"):
        taught(other).resume(tmp_path / "run")
    with pytest.raises(TrainingError, match="was taught by"):
        trainer(vocab_size=512).resume(tmp_path / "run")


def test_teacher_of_another_vocabulary_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot teach this network: it has 512 ids"):
        trainer(teacher=str(folder))

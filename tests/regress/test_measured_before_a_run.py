"""2026-11-30: what was tried before a run failed, or changed it.

Causes: `train plan --measure` drew ids below zero for a recipe that leaves the
vocabulary to its preset; a teacher first taken in bf16, then as a resumed run in fp32, was rounded.
"""

from pathlib import Path

import torch

from tests.doubles import tiny_folder
from training.pretrain.loss import load_teacher
from training.pretrain.plan import measure
from training.recipe import FolderTable, NetworkTable, Recipe, TrainTable


def recipe(**train: str) -> Recipe:
    network = NetworkTable(preset="nano", n_layer=1, n_embd=32, block_size=64)
    table = TrainTable(tokens=512, batch_tokens=128, micro_rows=2, **train)  # type: ignore[arg-type]
    return Recipe(network=network, train=table, folder=FolderTable(name="tried"))


def test_preset_has_a_vocabulary_to_measure_with() -> None:
    assert measure(recipe()) > 0


def test_teacher_keeps_its_weights_over_a_change_of_precision(tmp_path: Path) -> None:
    shape = recipe().network.config()
    folder = tiny_folder(tmp_path, config=shape)
    teacher = load_teacher(recipe(teacher=str(folder)), torch.device("cpu"))
    assert teacher is not None
    answers = []
    for dtype in (torch.float32, torch.bfloat16, torch.float32):
        teacher.compute_as(dtype, compiled=False)
        answers.append(teacher.answer(torch.arange(8)[None]).hidden)
    assert answers[1].dtype == torch.bfloat16
    assert torch.equal(answers[0], answers[2])

"""Section ``model`` of ``check``: number of trained weights, base of an adapter."""

from __future__ import annotations

import pytest

from omnithinker.checks.model import check_model
from omnithinker.policy.loading import load_trained
from tests.builders.policy import LORA, settings_of


@pytest.mark.parametrize(
    "training", [{}, {"freeze_embeddings": True}, LORA, {"lora": {"rank": 2, "targets": ["q_proj"]}}]
)
def test_the_number_of_trained_weights_is_that_of_the_run(training, model_folder):
    settings = settings_of(model_folder, **training)
    _, outline = check_model(settings)
    expected = sum(weight.numel() for weight in load_trained(settings, seed=0).trained)
    assert outline.trained == expected


def test_an_adapter_stands_for_its_base(model_folder, tmp_path):
    load_trained(settings_of(model_folder, **LORA), seed=0).save(tmp_path / "adapter")
    section, outline = check_model(settings_of(tmp_path / "adapter"))
    _, base = check_model(settings_of(model_folder))
    assert section.problems == ()
    assert outline.parameters == base.parameters

"""The example and the documentation hold."""

import runpy

import pytest

from omnithinker.planning import make_plan, read_accuracies
from tests.builders import ROOT


def test_example_prints_a_plan_and_draws_it(tmp_path, capsys, monkeypatch):
    plot = tmp_path / "plan.svg"
    monkeypatch.setattr("sys.argv", ["plan_from_trl_numbers.py", str(plot)])
    runpy.run_path(str(ROOT / "examples" / "plan_from_trl_numbers.py"), run_name="__main__")
    assert "order: code > math > qa > writing" in capsys.readouterr().out
    assert plot.read_text().startswith("<?xml")


def test_the_table_in_the_documentation_can_be_planned_from(tmp_path):
    text = (ROOT / "docs" / "planning.md").read_text()
    table = text[text.index("trained_on,") :]
    path = tmp_path / "table.csv"
    path.write_text(table[: table.index("```")])
    source = read_accuracies(path)
    assert source.n.tolist() == [500, 400, 2000, 300]
    assert source.after[2] == pytest.approx([0.39, 0.42, 0.55, 0.45])
    assert make_plan(source, resamples=0).order == ("code", "math", "qa", "writing")

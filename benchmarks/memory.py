"""Memory estimate of ``omnithinker check`` against the measured peak of training. Linux only.

    python benchmarks/memory.py

Each case runs in a new process, which trains for two steps on lab math and reads its peak resident memory from the
kernel. Memory of Python, libraries and data before the model is loaded is subtracted. The task has a KL term, so that
every completion is trained on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SMALL = {"completions": 8, "max_new_tokens": 64}
CASES: dict[str, dict[str, dict[str, object]]] = {
    "lab": {"sampling": {"completions": 32, "max_new_tokens": 40}, "training": {"prompts_per_step": 32}},
    "100M": {"sampling": SMALL, "training": {"prompts_per_step": 4}},
    "100M, micro-batches of 512": {
        "sampling": SMALL,
        "training": {"prompts_per_step": 4, "microbatch_tokens": 512},
    },
    "100M, LoRA": {"sampling": SMALL, "training": {"prompts_per_step": 4}, "model.lora": {"rank": 16}},
}
"""Case -> settings. ``lab`` is the built-in model; the others use a random Qwen2 with 100 million weights."""


def memory(field: str) -> int:
    """Return ``VmRSS`` (current) or ``VmHWM`` (peak) of this process, bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {field}")


def save_model(folder: Path) -> None:
    """Save a random Qwen2 (12 layers, hidden size 768, vocabulary 32,000) with the lab's tokenizer."""
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    from omnithinker.lab import MODEL_PATH

    tokenizer = AutoTokenizer.from_pretrained(MODEL_PATH)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=32_000,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=4,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def recipe_text(model: str, case: dict[str, dict[str, object]]) -> str:
    """Return a recipe with one task and two steps."""
    settings = case | {"training": {"max_steps": 2, "learning_rate": 1e-6} | case["training"]}
    lines = [f'[model]\npath = "{model}"\nthreads = 1\n[evaluation]\nitems = 1']
    for name, values in settings.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
    lines += ['[tasks.math]\ndata = "lab:math"\nbeta = 0.01\nrewards.format = { weight = 1.0, primary = true }\n']
    return "\n".join(lines)


def measure(name: str, model: str, folder: Path) -> dict[str, int]:
    """Train in this process. Return the estimate by part, the measured peak and the memory before, bytes."""
    from rich.console import Console

    from omnithinker.checks.cost import sizes
    from omnithinker.checks.data import check_data
    from omnithinker.checks.memory import estimate
    from omnithinker.checks.model import check_model
    from omnithinker.config.file import load_recipe
    from omnithinker.policy.loading import load_policy
    from omnithinker.schedules.plan import RunPlan
    from omnithinker.train.context import RunContext
    from omnithinker.train.run import run_training
    from omnithinker.ui.view import View

    path = folder / "recipe.toml"
    path.write_text(recipe_text(model, CASES[name]))
    recipe = load_recipe(path)
    _, outline = check_model(recipe.model)
    assert outline is not None
    _, tasks = check_data(recipe, outline.policy.tokenizer.encode)
    longest = max(max(lengths) for lengths in tasks["math"].lengths.values())
    parts = estimate(*sizes(recipe, outline, longest))
    load_policy(recipe.model.model_copy(update={"path": "lab"}))  # imports and one-time allocations
    before = memory("VmRSS")
    view = View(Console(quiet=True))
    with RunContext(recipe, view.note) as context:
        _ = context.base  # stays loaded, as in a study
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak, which loading has raised
        run_training(context, RunPlan.single_task("math", 0), folder / "run", view)
    return parts | {"measured": memory("VmHWM") - before, "before": before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append", help="run only this case; repeatable")
    parser.add_argument("--measure", nargs=2, metavar=("CASE", "MODEL"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(*args.measure, Path(folder))))
        return
    print(
        "| case | estimate | measured | estimate / measured | Python and libraries |\n| --- | --- | --- | --- | --- |"
    )
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "model")
        for name in args.case or CASES:
            model = "lab" if name == "lab" else f"{folder}/model"
            command = [sys.executable, __file__, "--measure", name, model]
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            peak, measured, before = (result[key] / 2**20 for key in ("peak", "measured", "before"))
            print(f"| {name} | {peak:,.0f} MiB | {measured:,.0f} MiB | {peak / measured:.2f} | {before:,.0f} MiB |")
            detail = {key: round(value / 2**20) for key, value in result.items()}
            print(f"  {detail}", file=sys.stderr)


if __name__ == "__main__":
    main()

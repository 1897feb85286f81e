"""Plan a curriculum from accuracies measured with any trainer, here four single-task GRPO runs with TRL.

    python examples/plan_from_trl_numbers.py [plan.svg]

Required are the base model's accuracy on every task's test set, the same accuracies after one single-task run per task,
and the number of test items per task.
"""

import sys

from rich.console import Console

from omnithinker.planning import accuracies_from_dict, explain, make_plan, plan_to_renderable, plot_plan

ACCURACIES = {
    "tasks": ["math", "code", "qa", "writing"],
    "base": {"math": 0.52, "code": 0.31, "qa": 0.44, "writing": 0.61},
    # Trained task -> accuracy on every task.
    "after": {
        "math": {"math": 0.58, "code": 0.33, "qa": 0.39, "writing": 0.60},
        "code": {"math": 0.53, "code": 0.40, "qa": 0.42, "writing": 0.57},
        "qa": {"math": 0.51, "code": 0.31, "qa": 0.55, "writing": 0.50},
        "writing": {"math": 0.52, "code": 0.30, "qa": 0.45, "writing": 0.70},
    },
    "n": {"math": 500, "code": 400, "qa": 2000, "writing": 300},
}


def main() -> None:
    # Accuracy on code counts twice as much as on the other tasks.
    plan = make_plan(accuracies_from_dict(ACCURACIES), weights={"code": 2.0})
    console = Console(highlight=False)
    console.print(plan_to_renderable(plan))
    for line in explain(plan):
        console.print(line, markup=False)
    if len(sys.argv) > 1:
        plot_plan(plan, sys.argv[1])


if __name__ == "__main__":
    main()

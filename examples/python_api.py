"""Train, evaluate and score from Python, on the built-in lab in about a minute on two CPU cores.

python examples/python_api.py
"""

import omnithinker as ot

if __name__ == "__main__":
    recipe = ot.load_recipe("lab-quick", {"training.max_steps": 10, "evaluation.items": 100})

    before = ot.evaluate_model(recipe, tasks=["math"])
    run = ot.train_model(recipe, task="math", output="runs/python-api")
    print(f"math: {before['math'].accuracy:.2f} before training, {run.evaluation['math'].accuracy:.2f} after")
    print(f"the trained model is in {run.model}")

    row = {"answer": "12", "completion": "<think> 3 x 4 </think> <answer> 12 </answer>"}
    (score,) = ot.score_completions(recipe, [row], task="math")
    print(f"reward {score.reward:.1f}: {score.components}")

    print(f"report: {ot.write_report(run.folder)}")

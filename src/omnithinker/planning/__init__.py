"""Task orders from measured transfer. Needs numpy only.

Read accuracies with ``read_accuracies(path)`` (CSV, JSON or study folder) or ``accuracies_from_dict(value)``, or a
matrix with ``read_matrix(path)``. ``make_plan(...)`` returns a ``Plan``; ``plan_to_json(plan)`` is the output of
``omnithinker plan --json``, ``plan_to_renderable(plan)`` that of a terminal. Rows of matrices are evaluated tasks,
columns are trained tasks.
"""

from omnithinker.planning.accuracies import Accuracies, Probe, TransferMatrix, accuracies_from_dict
from omnithinker.planning.explaining import DecidingPair, deciding_pairs, explain
from omnithinker.planning.ordering import (
    exact_order,
    forgettability_order,
    greedy_order,
    order_value,
    subset_values,
)
from omnithinker.planning.output import plan_to_json, plan_to_renderable
from omnithinker.planning.plan import Plan, RankedOrder, make_plan
from omnithinker.planning.plotting import plot_plan
from omnithinker.planning.reading import matrix_from_lists, read_accuracies, read_matrix
from omnithinker.planning.solving import Solution, solve
from omnithinker.planning.terminal_accuracy import delta_rel, log_terminal_accuracies, terminal_accuracies
from omnithinker.planning.transfer import accuracy_floor, backward_transfer, entropy_change
from omnithinker.planning.uncertainty import Confidence, confidence_sentence, estimate_confidence

__all__ = [
    "Accuracies",
    "Confidence",
    "DecidingPair",
    "Plan",
    "Probe",
    "RankedOrder",
    "Solution",
    "TransferMatrix",
    "accuracies_from_dict",
    "accuracy_floor",
    "backward_transfer",
    "confidence_sentence",
    "deciding_pairs",
    "delta_rel",
    "entropy_change",
    "estimate_confidence",
    "exact_order",
    "explain",
    "forgettability_order",
    "greedy_order",
    "log_terminal_accuracies",
    "make_plan",
    "matrix_from_lists",
    "order_value",
    "plan_to_json",
    "plan_to_renderable",
    "plot_plan",
    "read_accuracies",
    "read_matrix",
    "solve",
    "subset_values",
    "terminal_accuracies",
]

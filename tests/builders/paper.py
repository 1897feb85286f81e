"""The paper's tables as arrays, and the transfer matrices that its Table 4 must have come from."""

import json

import numpy as np

from omnithinker.planning import Accuracies
from omnithinker.planning.terminal_accuracy import is_before
from tests.builders import ROOT

TABLES = json.loads((ROOT / "tests/golden" / "paper_tables.json").read_text())
TASKS = ("M", "C", "Q", "W")
LETTERS = {task: k for k, task in enumerate(TASKS)}


def indices(word):
    return tuple(LETTERS[letter] for letter in word)


def table_4(split):
    """Orders [24, 4], predicted accuracies [24, 4] as fractions, delta_rel [24]."""
    rows = TABLES["table_4"][split]
    orders = np.array([indices(word) for word in rows])
    numbers = np.array(list(rows.values())) / 100
    return orders, numbers[:, :4], numbers[:, 4]


def recovered(split):
    """Self accuracies, transfer matrix (zero diagonal) and base by least squares over the 24 rows."""
    orders, predicted, delta = table_4(split)
    before = is_before(orders)
    bwt, self_accuracy = np.zeros((4, 4)), np.zeros(4)
    for i in range(4):
        others = [j for j in range(4) if j != i]
        design = np.column_stack([np.ones(len(orders)), before[:, i, others]])
        solution, *_ = np.linalg.lstsq(design, np.log(predicted[:, i]), rcond=None)
        self_accuracy[i] = np.exp(solution[0])
        bwt[i, others] = solution[1:]
    mean_log_base = float(np.mean(np.log(predicted).mean(axis=1) - delta))
    return self_accuracy, bwt, mean_log_base


def table_1():
    """Accuracies from Table 1's averages."""
    sections = ("Math", "Coding", "General QA", "Creative Writing")
    columns = ("base", "single_math", "single_coding", "single_qa", "single_writing")
    rows = TABLES["table_1"]["rows"]
    table = []
    for section in sections:
        average = rows[section].get("Average") or rows[section]["MT-Bench (Writing)"]
        table.append([average[column] / 100 for column in columns])
    table = np.array(table)
    return Accuracies(TASKS, table[:, 0], table[:, 1:], np.array([1800, 1300, 10000, 80]))


def paley(p):
    """c_ij = 1 where j - i is a non-zero square modulo p."""
    squares = {x * x % p for x in range(1, p)}
    return np.array([[float((j - i) % p in squares) for j in range(p)] for i in range(p)])

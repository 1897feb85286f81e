"""Tables of a report, in order."""

from __future__ import annotations

from omnithinker.report.accounting import runs_table
from omnithinker.report.judging import judges_table, lengths_table
from omnithinker.report.records import Study
from omnithinker.report.tables import (
    Table,
    base_table,
    difference_table,
    entropy_table,
    final_table,
    outcome_table,
    plan_table,
    transfer_table,
)
from omnithinker.report.validation import validation_table
from omnithinker.report.warmup import warmup_table


def tables(study: Study) -> list[Table]:
    """Return all tables that the folder has the numbers for."""
    if study.is_single_run:
        candidates = [final_table(study)]
    else:
        candidates = [
            base_table(study),
            transfer_table(study),
            entropy_table(study),
            plan_table(study),
            outcome_table(study),
            difference_table(study),
        ]
    candidates += [
        warmup_table(study),
        validation_table(study),
        runs_table(study),
        judges_table(study),
        lengths_table(study),
    ]
    return [table for table in candidates if table is not None]

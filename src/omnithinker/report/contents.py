"""Which tables a report has, in the order in which a stranger wants them."""

from __future__ import annotations

from omnithinker.report.accounting import runs_table
from omnithinker.report.collect import Study
from omnithinker.report.judging import judges_table, lengths_table
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


def tables(study: Study) -> list[Table]:
    """All tables that the folder has the numbers for."""
    if study.is_single_run:
        found = [final_table(study)]
    else:
        found = [
            base_table(study),
            transfer_table(study),
            entropy_table(study),
            plan_table(study),
            outcome_table(study),
            difference_table(study),
        ]
    found += [validation_table(study), runs_table(study), judges_table(study), lengths_table(study)]
    return [table for table in found if table is not None]

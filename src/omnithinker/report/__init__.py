"""The report of a study or run: one self-contained HTML file, and the same tables in a terminal. Needs no torch.

Everything is read from files, so folders at any stage of completion can be shown.
"""

from omnithinker.report.page import write_report
from omnithinker.report.terminal import dry_run_table, print_summary, status_table

__all__ = ["dry_run_table", "print_summary", "status_table", "write_report"]

"""A check as text: one short table per section, followed by its notes and problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from omnithinker.checks.memory import readable
from omnithinker.checks.report import Report, Section
from omnithinker.io.escaping import escaped
from omnithinker.schedules.plan import RunPlan
from omnithinker.ui.completions import example

SHOWN = 3
"""Completions shown of a group."""

SHOWN_CHARACTERS = 2000
"""Characters of a prompt that are shown without ``--all``."""


def show(report: Report, console: Console, *, listed: int | None) -> None:
    """Print a check.

    Args:
        report: result of the check.
        console: destination.
        listed: most failing rows to list per reward; None for all.
    """
    for section in report.sections:
        body = _BODIES.get(section.name, _no_body)(section.data, listed)
        if not (body or _summary(section.name, section.data) or section.problems or section.notes):
            continue
        console.print(_title(section), soft_wrap=True)
        if section.name == "samples":
            _samples(section.data, console, whole=listed is None)
        for part in body:
            console.print(
                part if isinstance(part, Text) else Padding(part, (0, 0, 0, 2)), soft_wrap=isinstance(part, Text)
            )
        for note in section.notes:
            console.print(Text(f"  note: {note}", style="yellow"), soft_wrap=True)
        for problem in section.problems:
            console.print(Text(f"  ✗ {problem}", style="red"), soft_wrap=True)
        console.print()
    count = len(report.problems)
    if count:
        console.print(Text(f"{count} problem{'' if count == 1 else 's'}", style="bold red"))
    else:
        console.print(Text("no problems", style="bold green"))


def _title(section: Section) -> Text:
    mark = Text("✗ ", "red") if section.problems else Text("✓ ", "green")
    return mark + Text(section.name, "bold") + Text("  " + _summary(section.name, section.data), "dim")


def _summary(name: str, data: Mapping[str, Any]) -> str:
    match name:
        case "recipe":
            folder = f"{data['output']}-{RunPlan.single_task(data['tasks'][0], data['seed']).folder_name}"
            return f"tasks {', '.join(data['tasks'])}; folder of study {data['output']}, of train --task {folder}"
        case "model" if "parameters" in data:
            trained = "" if data["trained"] == data["parameters"] else f", {data['trained']:,} of them trained"
            if data["adapter"]:
                trained = f", an adapter of {data['trained']:,} trained"
            return f"{data['path']}: {data['architecture']}, {data['parameters']:,} parameters{trained}"
        case "prompts" if data["tasks"]:
            return "the first one of each task, as the model sees it"
        case "sandbox" if not data["needed"]:
            return "no task runs code"
        case "sandbox" if "level" in data:
            return f"{data['level']}: {', '.join(data['layers'])}; {data['slots']} programs at once"
        case "trackers":
            return ", ".join(data["trackers"])
        case "memory":
            of = f" of {readable(data['available'])}" if data["available"] else ""
            return f"at most about {readable(data['bytes']['peak'])}{of}"
        case "samples" if data["tasks"]:
            prompts = data["prompts"]
            return f"{prompts} prompt{'' if prompts == 1 else 's'} per task, completions as in training"
        case "tokens" if data["stages"]:
            return f"at most {data['most_tokens']:,} sampled tokens in the study"
    return ""


def _no_body(data: Mapping[str, Any], listed: int | None) -> list[RenderableType]:
    return []


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position >= left else "left", no_wrap=True)
    return table


def _data(data: Mapping[str, Any], listed: int | None) -> list[RenderableType]:
    table = _table("task", "train", "test", "longest prompt", "too long", "in both", "unusable")
    for name, task in data["tasks"].items():
        splits = [task["train"], task["test"]]
        too_long = [split["too_long"] for split in splits]
        longest = [split["longest_prompt"] for split in splits if split["longest_prompt"] is not None]
        table.add_row(
            Text(name),
            *(f"{split['rows']:,}" for split in splits),
            f"{max(longest)} tokens" if longest else "–",
            "–" if None in too_long else str(sum(too_long)),
            str(len(task["in_both_splits"])),
            str(len(task["bad_rows"])),
        )
    bad_rows = [line for task in data["tasks"].values() for line in task["bad_rows"]]
    return [table, *_lines(bad_rows, listed)]


def _prompts(data: Mapping[str, Any], listed: int | None) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for name, prompt in data["tasks"].items():
        parts += _shown(f"{name}, {prompt['place']}", prompt, listed)
        if demonstration := prompt.get("demonstration"):
            parts += _shown(f"{name}, demonstration of {demonstration['place']}", demonstration, listed)
    return parts


def _shown(title: str, record: Mapping[str, Any], listed: int | None) -> list[RenderableType]:
    """Return title, number of tokens and text of a prompt or demonstration."""
    text = escaped(record["text"])
    hidden = 0 if listed is None else len(text) - SHOWN_CHARACTERS
    if hidden > 0:
        text = f"{text[:SHOWN_CHARACTERS]}… and {hidden:,} more characters (--all shows them)"
    return [
        Text(f"  {escaped(title)}, {record['tokens']} tokens", "dim"),
        Text("\n".join(f"  │ {line}" for line in text.split("\n"))),
    ]


def _rewards(data: Mapping[str, Any], listed: int | None) -> list[RenderableType]:
    columns = ["task", "reward", "answer", "scored 1", "expected"]
    some_undefined = any(tally["undefined"] for check in data["components"] for tally in check["tallies"].values())
    table = _table(*columns, *(["undefined"] if some_undefined else []), left=3)
    parts: list[RenderableType] = [table]
    for check in data["components"]:
        first = True
        for probe, tally in check["tallies"].items():
            right = tally["right"] == tally["of"]
            causes = ", ".join(f"{count} {cause}" for cause, count in tally["undefined"].items())
            table.add_row(
                Text(check["task"] if first else ""),
                Text(check["name"] if first else ""),
                Text(probe),
                Text(_scored(tally), "green" if right else "red"),
                "any" if tally["expected"] is None else "all" if tally["expected"] else "none",
                *([Text(causes, "yellow")] if some_undefined else []),
            )
            first = False
        parts += [Text(f"  {line}") for line in _failures(check, listed)]
    return parts


def _scored(tally: Mapping[str, Any]) -> str:
    """Return the number of answers with the value 1, or the range of values if none is expected."""
    if tally["expected"] is not None:
        return f"{tally['ones']}/{tally['of']}"
    low, high = (f"{limit(tally['values'], default=0):g}" for limit in (min, max))
    return low if low == high else f"{low} to {high}"


def _failures(check: Mapping[str, Any], listed: int | None) -> list[str]:
    failures: Sequence[Mapping[str, Any]] = check["failures"]
    lines = []
    for failure in failures[:listed]:
        value = "undefined" if failure["value"] is None else f"{failure['value']:g}"
        why = f" ({failure['cause']})" if failure["cause"] else ""
        lines.append(
            f"{failure['place']}, field {failure['field']}: {check['name']} of {failure['probe']} "
            f"{failure['answer']!r} is {value}{why}"
        )
    return lines + _rest(failures, listed)


def _lines(lines: Sequence[str], listed: int | None) -> list[RenderableType]:
    return [Text(f"  {line}") for line in [*lines[:listed], *_rest(lines, listed)]]


def _rest(items: Sequence[Any], listed: int | None) -> list[str]:
    hidden = 0 if listed is None else len(items) - listed
    return [f"... and {hidden} more (--all lists them)"] if hidden > 0 else []


def _judges(data: Mapping[str, Any], listed: int | None) -> list[RenderableType]:
    table = _table("judge", "model", "calls", "from cache", "tokens", "cost")
    for name, usage in data["judges"].items():
        if usage["kind"] == "chat":
            tokens = usage["prompt_tokens"] + usage["completion_tokens"]
            table.add_row(
                name,
                Text(usage["model"]),
                str(usage["calls"]),
                str(usage["cached"]),
                f"{tokens:,}",
                f"{usage['cost']:.4f}",
            )
    return [table] if table.row_count else []


def _memory(data: Mapping[str, Any], listed: int | None) -> list[RenderableType]:
    table = _table("part", "at most", "allocated during")
    phases = {"sampling": "generation", "bfloat16_weights": "generation", "activations": "update", "logits": "update"}
    phases["checkpoint"] = "writing of a checkpoint, if there is room"
    if not data["keeps_cache"]:
        phases["kv_cache"] = "generation"
    for name, value in data["bytes"].items():
        if name != "peak":
            table.add_row(name.replace("_", " "), readable(value), phases.get(name, "all"))
    return [table]


def _tokens(data: Mapping[str, Any], listed: int | None) -> list[RenderableType]:
    if not data["stages"]:
        return []
    table = _table("stage", "steps", "completions", "tokens, at most")
    for stage in data["stages"]:
        if stage["completions"]:
            table.add_row(
                Text(stage["stage"]), f"{stage['steps']:,}", f"{stage['completions']:,}", f"{stage['most_tokens']:,}"
            )
    return [table]


def _sampled(data: Mapping[str, Any], listed: int | None) -> list[RenderableType]:
    table = _table("task", "samples", "right", "reward", "groups that vary", "cut off", "tokens")
    for name, task in data["tasks"].items():
        rewards = task["rewards"]
        table.add_row(
            Text(name),
            str(task["samples"]),
            Text(str(task["right"]), "green" if task["right"] else "red"),
            " to ".join(f"{value:.2f}" for value in dict.fromkeys([rewards[0], rewards[-1]])) if rewards else "–",
            Text(f"{task['varying_groups']}/{len(task['groups'])}", "green" if task["varying_groups"] else "red"),
            str(task["truncated"]),
            f"{task['mean_length']:.0f}",
        )
    return [table] if table.row_count else []


def _samples(data: Mapping[str, Any], console: Console, *, whole: bool) -> None:
    """Print sampled completions: all of them, or of every group one of each reward, at most :data:`SHOWN`."""
    for name, task in data["tasks"].items():
        for group in task["groups"]:
            completions = group["completions"]
            shown = completions if whole else varied(completions)
            # The file's name says enough.
            title = f"{name}, {group['place'].rpartition('/')[2]}"
            hidden = len(completions) - len(shown)
            console.print(example(title, group["prompt"], group["gold"], shown, console, whole=whole, hidden=hidden))


def varied(completions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return at most :data:`SHOWN` completions, those with different rewards first, in their order."""
    first = {completion["reward"]: place for place, completion in reversed(list(enumerate(completions)))}
    places = sorted(range(len(completions)), key=lambda place: (place not in first.values(), place))
    return [completions[place] for place in sorted(places[:SHOWN])]


_BODIES = {
    "data": _data,
    "prompts": _prompts,
    "rewards": _rewards,
    "judges": _judges,
    "memory": _memory,
    "tokens": _tokens,
    "samples": _sampled,
}

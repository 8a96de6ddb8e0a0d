"""Measuring a TREC run against judgements, with trec_eval's options and its lines."""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from rankgrad._checks import InputError
from rankgrad.cli._measures import Measure, parse_measures
from rankgrad.cli._parser import refuse_unused
from rankgrad.data import read_qrels, read_run
from rankgrad.data.judged_lists import JudgedLists, judged_lists
from rankgrad.data.records import Qrels, Run
from rankgrad.data.trec import ScatteredQueryError, stream_run
from rankgrad.metrics import measure_lists

# trec_eval's geometric means take nothing for less than this.
_LEAST = 1e-5


class Measured(NamedTuple):
    """The values of every query, in the order of their ids, and of all."""

    queries: list[str]
    values: dict[str, list[float]]
    overall: dict[str, float]


def evaluate_run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        InputError: for a file or a measure that cannot be used, a run without a judged query, or two forms of output.
    """
    if arguments.json and arguments.table:
        raise InputError("--json and --table are two forms of one output: leave one of them out")
    if arguments.json or arguments.table:
        refuse_unused(arguments, ["--no-summary"], "beside --json and --table, which hold the averages")
    measures = parse_measures(arguments.metrics or ["official"], arguments.level)
    qrels = read_qrels(arguments.qrels, repeated=arguments.repeated)
    measured = _measure(arguments, measures, qrels)
    tag = _tag(arguments.run_file)
    if arguments.json:
        print(json.dumps(_as_json(tag, measured, per_query=arguments.per_query), ensure_ascii=False, indent=2))
    elif arguments.table:
        _print_table(measured, per_query=arguments.per_query)
    else:
        shown = arguments.metrics is None or {"official", "all_trec"} & set(arguments.metrics)
        _print_lines(measures, measured, tag if shown else None, arguments)
    return 0


def _measure(arguments: argparse.Namespace, measures: Sequence[Measure], qrels: Qrels) -> Measured:
    def lists(run: Run | Iterable[tuple[str, dict[str, float]]]) -> Iterable[JudgedLists]:
        return judged_lists(
            run,
            qrels,
            complete=arguments.complete,
            depth=arguments.max_documents,
            only_judged=arguments.judged_only,
        )

    try:
        measured = _values(measures, lists(stream_run(arguments.run_file)))
    except ScatteredQueryError:
        measured = _values(measures, lists(read_run(arguments.run_file)))
    if not measured.queries:
        raise InputError(
            f"no query of {arguments.run_file} is judged in {arguments.qrels}: compare their first columns"
        )
    return measured


def _values(measures: Sequence[Measure], parts: Iterable[JudgedLists]) -> Measured:
    queries: list[str] = []
    values: dict[str, list[float]] = {measure.name: [] for measure in measures}
    for part in parts:
        queries += part.queries
        found = measure_lists(
            measures, part.scores, part.labels, part.mask, judged=part.judged, tie_order=part.tie_order
        )
        # trec_eval gives a query without documents 0 in everything that is said of what was retrieved.
        absent = ~part.mask.any(dim=-1)
        for name, each in found.items():
            values[name] += (each if name == "num_rel" or name == "num_q" else each.masked_fill(absent, 0.0)).tolist()
    order = sorted(range(len(queries)), key=queries.__getitem__)
    values = {name: [each[place] for place in order] for name, each in values.items()}
    overall = {measure.name: _overall(measure, values[measure.name]) for measure in measures if queries}
    return Measured([queries[place] for place in order], values, overall)


def _overall(measure: Measure, values: Sequence[float]) -> float:
    if measure.summary == "geometric":
        return math.exp(math.fsum(math.log(max(value, _LEAST)) for value in values) / len(values))
    total = math.fsum(values)
    return total if measure.summary == "sum" else total / len(values)


def _print_lines(
    measures: Sequence[Measure], measured: Measured, tag: str | None, arguments: argparse.Namespace
) -> None:
    """trec_eval's lines: name, query or ``all``, value."""
    for place, query in enumerate(measured.queries) if arguments.per_query else ():
        for measure in measures:
            if measure.name != "num_q" and measure.summary != "geometric":
                print(_line(measure, query, measured.values[measure.name][place]))
    if arguments.no_summary:
        return
    if tag is not None:
        print(f"{'runid':<22}\tall\t{tag}")
    for measure in measures:
        print(_line(measure, "all", measured.overall[measure.name]))


def _line(measure: Measure, query: str, value: float) -> str:
    shown = f"{value:.0f}" if measure.summary == "sum" else f"{value:6.4f}"
    return f"{measure.name:<22}\t{query}\t{shown}"


def _print_table(measured: Measured, *, per_query: bool) -> None:
    """A row a query and one of all, a column a measure."""
    rows = [["query", *measured.overall]]
    for place, query in enumerate(measured.queries) if per_query else ():
        rows.append([query, *(f"{values[place]:.4f}" for values in measured.values.values())])
    rows.append(["all", *(f"{value:.4f}" for value in measured.overall.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells]))


def _as_json(tag: str, measured: Measured, *, per_query: bool) -> dict[str, object]:
    found: dict[str, object] = {"run": tag, "queries": len(measured.queries), "measures": measured.overall}
    if per_query:
        found["per_query"] = {
            query: {name: values[place] for name, values in measured.values.items()}
            for place, query in enumerate(measured.queries)
        }
    return found


def _tag(path: Path) -> str:
    """The name in the last line of a run."""
    with cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
        if path.suffix != ".gz":
            file.seek(max(0, path.stat().st_size - (1 << 16)))
        last = [line for line in file.read().decode("utf-8", "replace").splitlines() if len(line.split()) >= 6]
    return last[-1].split()[5]

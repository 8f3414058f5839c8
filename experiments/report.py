r"""Writes docs/results.md and its plots from the committed logs alone.

    python -m experiments.report

The same logs give the same text. `docs/results/` takes the plots as PNG and
`report.html`, one self-contained page of the same content.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence

from absl import flags

from experiments import cell_logs, encoder_use, sections
from experiments.claims import Claim, load_claims
from experiments.results import Results
from experiments.sections import Section
from runkit import InputError, atomic_write, run_binary
from runkit.report import Report

FLAGS = flags.FLAGS
DOCS = cell_logs.ROOT / "docs"
TITLE = "Results of the claims"
ORDER = (
    "downstream",
    "downstream_setups",
    "budget_curves",
    "plateau_exit",
    "sc_tuning",
    "sweeps",
)
_INTRO = (
    "Written by `python -m experiments.report` from the logs in "
    "`experiments/logs`; the protocol is `experiments/README.md`. Where runs "
    "are missing, so are their rows."
)


def load_results(
    claims: Mapping[str, Claim], logs: pathlib.Path = cell_logs.LOGS
) -> list[Results]:
    """Returns every claim with the logs that it has.

    A log that cannot be used is named on stderr and left out.
    """
    found = []
    names = [*ORDER, *(name for name in claims if name not in ORDER)]
    for name in (name for name in names if name in claims):
        claim = claims[name]
        mine = {}
        for cell in claim.cells:
            try:
                log = cell_logs.logged(cell, logs)
            except InputError as error:
                print(f"warning: {error}", file=sys.stderr)
                continue
            if log is not None:
                mine[cell.name] = log
        found.append(Results(claim, mine))
    return found


def report_parts(
    results: Sequence[Results], logs: pathlib.Path = cell_logs.LOGS
) -> list[Section]:
    """Returns the report's parts: the claims, then what explains them."""
    plateau = encoder_use.section(logs / encoder_use.LOGS.name)
    more = [plateau] if plateau is not None else []
    return [*map(sections.section, results), *more]


def markdown(parts: Sequence[Section], facts: str) -> str:
    """Returns the text of docs/results.md."""
    lines = [f"# {TITLE}", "", _INTRO, "", facts, ""]
    for part in parts:
        lines += [f"## {part.title}", ""]
        for text in part.paragraphs:
            lines += [text, ""]
        for header, rows in part.tables:
            lines += [_row(header), _row(["---"] * len(header))]
            lines += [*map(_row, rows), ""]
        for name, _, caption in part.figures:
            lines += [f"![{caption}](results/{name}.png)", ""]
    return "\n".join(lines).rstrip() + "\n"


def _row(values: Iterable[str]) -> str:
    return "| " + " | ".join(v.replace("|", "\\|") for v in values) + " |"


def run_facts(results: Sequence[Results]) -> str:
    """Says on which machines and with which versions the logs were made."""
    logs = [log for one in results for log in one.logs.values()]
    if not logs:
        return "No run has finished yet."
    machines = sorted(
        {
            f"{log['machine']['processor']}, {log['machine']['cores']} cores, "
            f"{log['machine']['threads']} thread per run"
            for log in logs
        }
    )
    versions = sorted({log["version"] for log in logs})
    hours = sum(log["cpu_seconds"] or 0.0 for log in logs) / 3600
    return (
        f"{len(logs)} runs, {hours:.1f} hours of CPU time, version "
        f"{', '.join(versions)}; {'; '.join(machines)}."
    )


def write_report(
    results: Sequence[Results],
    docs: pathlib.Path = DOCS,
    logs: pathlib.Path = cell_logs.LOGS,
) -> pathlib.Path:
    """Writes results.md, the plots and the page; returns results.md.

    Args:
        results: of all claims.
        docs: folder of the documentation.
        logs: folder of all logs.
    """
    parts = report_parts(results, logs)
    facts = run_facts(results)
    page = Report(TITLE, docs / "results")
    page.text(_INTRO)
    page.text(facts)
    for part in parts:
        page.heading(part.title)
        for text in part.paragraphs:
            page.text(text)
        for header, rows in part.tables:
            page.table(header, rows)
        for name, figure, caption in part.figures:
            page.figure(figure, name, caption)
    page.write()
    path = docs / "results.md"
    with atomic_write(path) as handle:
        handle.write(markdown(parts, facts))
    return path


def main(argv: Sequence[str]) -> None:
    """Reads logs, writes the report."""
    del argv
    logs = pathlib.Path(FLAGS.logs_dir or cell_logs.LOGS)
    docs = pathlib.Path(FLAGS.docs_dir or DOCS)
    path = write_report(load_results(load_claims(), logs), docs, logs)
    print(f"report: {cell_logs.shown(path)}")


def run() -> None:
    """Entry point."""
    if "docs_dir" not in FLAGS:
        flags.DEFINE_string("logs_dir", None, "Folder of the logs.")
        flags.DEFINE_string("docs_dir", None, "Folder that takes results.md.")
    run_binary(main)


if __name__ == "__main__":
    run()

"""Miniature claims that run in seconds, and logs made by hand."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import cell_logs
from experiments.cells import Cell
from experiments.claims import load_claims, select_cells
from tests.support import testing
from tests.support.isolated import FolderTestCase

_SETTINGS = """
[small]
preset = "tiny"
batch_size = 4
model.vocabulary_size = 512
model.num_layers = 1
model.num_heads = 2
model.hidden_dim = 32
model.intermediate_dim = 64
corruption.input_length = 32
data.holdout_fraction = 0.2
data.dataset = "{dataset}"
objective.name = "span_corruption"
runtime.eval_every = 5
runtime.eval_batches = 1
runtime.checkpoint_every = 5
runtime.log_every = 5
"""
_CLAIM = """
title = "A small claim"
question = "Does it run?"
kind = "pretrain"
metric = "heldout_sc_loss"
settings = ["small"]
{more}

[[rounds]]
priority = 2
budgets = [{budget}]
seeds = [0, 1]

[[rounds]]
priority = 1
budgets = [{budget}]
seeds = [0]
arms = ["second"]

[[arms]]
name = "first"
title = "the first"

[[arms]]
name = "second"
title = "the second"
fields = {{ optimizer.learning_rate = 0.1 }}

[[arms]]
name = "later"
title = "not possible yet"
needs = "an option"
"""


class ExperimentCase(FolderTestCase):
    """Gives each test a folder with declarations and a place for logs."""

    def setUp(self):
        super().setUp()
        self.claims, self.logs = self.folder / "claims", self.folder / "logs"
        self.claims.mkdir()
        self.declare("settings", _SETTINGS, dataset="text:none.txt")

    def declare(self, name: str, text: str = _CLAIM, **values: Any) -> None:
        """Writes a declaration."""
        filled = text.format(**({"more": "", "budget": 10} | values))
        (self.claims / f"{name}.toml").write_text(filled, encoding="utf-8")

    def declare_corpus(self) -> None:
        """Gives the miniature claims text to train on."""
        dataset = testing.write_corpus(self.folder)
        self.declare("settings", _SETTINGS, dataset=dataset)

    def cells(self, *names: str) -> list[Cell]:
        """Returns the cells of these claims, most urgent first."""
        return select_cells(load_claims(names, self.claims), names)


def hand_made_log(
    cell: Cell,
    logs: pathlib.Path,
    lines: Sequence[Mapping[str, Any]],
    **changes: Any,
) -> pathlib.Path:
    """Writes a log with these lines, as the runner would.

    Args:
        cell: of the log.
        logs: folder of all logs.
        lines: evaluations, or the results of a fine-tuning.
        **changes: fields of the first line that shall differ.
    """
    machine = {"processor": "CPU", "cores": 2, "threads": 1}
    head = {
        "format": cell_logs.FORMAT,
        "digest": cell.digest,
        "stop_below": cell.stop_below,
        "version": "1.0",
        "machine": machine,
    }
    path = cell_logs.log_path(cell, logs)
    path.parent.mkdir(parents=True, exist_ok=True)
    end = {"end": True, "attempts": 1, "cpu_seconds": 60.0}
    text = "".join(
        json.dumps(line) + "\n" for line in (head | changes, *lines, end)
    )
    path.write_text(text, encoding="utf-8")
    return path

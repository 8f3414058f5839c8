"""A batch as a file that a labeling tool imports.

    label_studio   STEM.label_studio.json and STEM.label_studio.xml, its
                   labeling configuration
    doccano        STEM.doccano.jsonl
    argilla        STEM.argilla.json, for `Dataset.records.from_json`
    prodigy        STEM.prodigy.jsonl, for a recipe with `view_id: choice`

Every task carries the example's id as `example_id` and the batch as `batch`,
which the tool's export gives back.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from al_tf.label_tools.records import BATCH, CONTROL, ID, STATUS
from al_tf.label_tools.shown import embedded_inputs
from al_tf.pools.pool import Examples
from runkit import atomic_write

MODEL = "al_tf"


@dataclasses.dataclass(frozen=True)
class Tasks:
    """A batch that goes out.

    Attributes:
        name: of the batch.
        batch: its examples, in the order in which they were chosen, with the
            names of all classes.
        suggested: class names that the model answers for each; empty without
            a model.
        confidence: of each answer, in [0, 1].
    """

    name: str
    batch: Examples
    suggested: Sequence[Sequence[str]] = ()
    confidence: Sequence[float] = ()

    @property
    def ids(self) -> list[Any]:
        """Ids of the examples as the pool has them."""
        return self.batch.named.tolist()


def write_tasks(
    folder: pathlib.Path, stem: str, tasks: Tasks, tool: str
) -> list[pathlib.Path]:
    """Writes the files of a tool, unless they are there already.

    Args:
        folder: of the files.
        stem: of their names.
        tasks: the batch.
        tool: one of `TOOLS`.

    Returns:
        The files; the first is the one to import.

    Raises:
        InputError: embeddings, of which nothing can be shown.
    """
    written = []
    for suffix, text in TOOLS[tool](tasks).items():
        path = folder / f"{stem}.{tool}{suffix}"
        written.append(path)
        if not path.exists():
            with atomic_write(path) as handle:
                handle.write(text)
    return written


def label_config(classes: Sequence[str], kind: str, *, multilabel: bool) -> str:
    """Label Studio's configuration for the classes.

    Args:
        classes: names.
        kind: "text" or "image".
        multilabel: several can be chosen.

    Returns:
        XML with the choices `label`, and `status` for who is unsure.
    """
    tag, name = kind.capitalize(), kind
    choices = "\n".join(
        f'    <Choice value={quoteattr(name)} hotkey="{number}"/>'
        if number < 10
        else f"    <Choice value={quoteattr(name)}/>"
        for number, name in enumerate(classes, 1)
    )
    many = "multiple" if multilabel else "single"
    return (
        f'<View>\n  <{tag} name="{name}" value="${name}"/>\n'
        f'  <Choices name="{CONTROL}" toName="{name}" choice="{many}">\n'
        f"{choices}\n  </Choices>\n"
        f'  <Choices name="{STATUS}" toName="{name}" choice="single">\n'
        '    <Choice value="unsure"/>\n  </Choices>\n</View>\n'
    )


def prediction(
    names: Sequence[str],
    confidence: float,
    order: float,
    kind: str,
    version: str = MODEL,
) -> dict[str, Any]:
    """Label Studio's form of a model's answer.

    Args:
        names: of the classes that are answered.
        confidence: of the answer.
        order: score of the prediction. Sorted by it, ascending, the tasks are
            in the order of Cluster-Margin.
        kind: "text" or "image".
        version: of the model. Label Studio asks a backend only for tasks
            without a prediction of its version.
    """
    result = {
        "from_name": CONTROL,
        "to_name": kind,
        "type": "choices",
        "value": {"choices": list(names)},
        "score": confidence,
    }
    return {"model_version": version, "score": order, "result": [result]}


def _label_studio(tasks: Tasks) -> dict[str, str]:
    batch, out = tasks.batch, []
    for number, (name, shown) in enumerate(
        zip(tasks.ids, embedded_inputs(batch), strict=True)
    ):
        data = {batch.kind: shown, ID: name, BATCH: tasks.name}
        task: dict[str, Any] = {"data": data}
        if tasks.suggested:
            task["predictions"] = [
                prediction(
                    tasks.suggested[number],
                    tasks.confidence[number],
                    number / len(batch),
                    batch.kind,
                    tasks.name,
                )
            ]
        out.append(task)
    config = label_config(
        batch.classes, batch.kind, multilabel=batch.multilabel
    )
    return {".json": _json(out), ".xml": config}


def _doccano(tasks: Tasks) -> dict[str, str]:
    # A label that is imported would count as a person's; it stays aside.
    rows = [
        {"text": shown, ID: name, BATCH: tasks.name, **_model(tasks, number)}
        for number, (name, shown) in enumerate(
            zip(tasks.ids, embedded_inputs(tasks.batch), strict=True)
        )
    ]
    return {".jsonl": "".join(_line(row) for row in rows)}


def _argilla(tasks: Tasks) -> dict[str, str]:
    out = []
    for number, (name, shown) in enumerate(
        zip(tasks.ids, embedded_inputs(tasks.batch), strict=True)
    ):
        record: dict[str, Any] = {
            "id": str(name),
            "fields": {tasks.batch.kind: shown},
            "metadata": {ID: name, BATCH: tasks.name},
            "suggestions": {},
            "responses": {},
            "vectors": {},
        }
        if tasks.suggested:
            names = list(tasks.suggested[number])
            record["suggestions"][CONTROL] = {
                "value": names if tasks.batch.multilabel else names[0],
                "score": tasks.confidence[number],
                "agent": MODEL,
            }
        out.append(record)
    return {".json": _json(out)}


def _prodigy(tasks: Tasks) -> dict[str, str]:
    style = "multiple" if tasks.batch.multilabel else "single"
    options = [{"id": name, "text": name} for name in tasks.batch.classes]
    rows = [
        {
            tasks.batch.kind: shown,
            ID: name,
            "options": options,
            "config": {"choice_style": style},
            "meta": {BATCH: tasks.name, **_model(tasks, number)},
        }
        for number, (name, shown) in enumerate(
            zip(tasks.ids, embedded_inputs(tasks.batch), strict=True)
        )
    ]
    return {".jsonl": "".join(_line(row) for row in rows)}


def _model(tasks: Tasks, number: int) -> dict[str, Any]:
    """The model's answer beside a task, where the tool has no place for it."""
    if not tasks.suggested:
        return {}
    names = list(tasks.suggested[number])
    return {"suggested": names, "confidence": tasks.confidence[number]}


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


TOOLS: dict[str, Callable[[Tasks], dict[str, str]]] = {
    "label_studio": _label_studio,
    "doccano": _doccano,
    "argilla": _argilla,
    "prodigy": _prodigy,
}

"""A machine-learning backend for Label Studio, as its protocol asks for one.

    GET  /health    is it there
    POST /setup     the labeling configuration of a project
    POST /predict   tasks in, predictions out
    POST /webhook   an annotation was made or changed

It answers with the model that it is given. Sorted by the score of their
predictions, ascending, tasks are in the order of Cluster-Margin.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

from absl import logging
from werkzeug import exceptions
from werkzeug.wrappers import Request, Response

from al_tf.label_tools.answers import Answer
from al_tf.label_tools.readers import FORMS
from al_tf.label_tools.records import CONTROL, ID, Names
from al_tf.label_tools.tasks import MODEL, prediction
from runkit import InputError

# A task may hold an image as text.
MOST_BYTES = 1 << 26
_MOST_CONFIG = 1 << 20
_TAKEN = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")


class Task(NamedTuple):
    """A task of Label Studio.

    Attributes:
        example: id that it carries; None without one.
        shown: text, or address of an image; "" without one.
    """

    example: Any
    shown: str


class Prediction(NamedTuple):
    """What a model says about a task.

    Attributes:
        names: of the classes that it answers.
        confidence: of the answer, in [0, 1].
        order: score to sort tasks by, in [0, 1].
    """

    names: Sequence[str]
    confidence: float
    order: float


class Backend:
    """The protocol as a WSGI application.

    Args:
        predict: answers tasks; None for a task that it cannot answer.
        take: takes the answers of people, and whether they are changed ones.
        classes: returns the names of the classes that are known now.
        kind: "text" or "image".
        multilabel: a task may have any number of classes.
    """

    def __init__(
        self,
        predict: Callable[[list[Task]], list[Prediction | None]],
        take: Callable[[list[Answer], bool], None],
        classes: Callable[[], Sequence[str]],
        kind: str,
        *,
        multilabel: bool,
    ):
        self._predict, self._take, self._classes = predict, take, classes
        self._kind, self._multilabel = kind, multilabel
        self._lock = threading.Lock()
        self._routes: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "/"): self.health,
            ("GET", "/health"): self.health,
            ("POST", "/setup"): self.setup,
            ("POST", "/predict"): self.predict,
            ("POST", "/webhook"): self.webhook,
        }

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answers one request; what is wrong with it is said in JSON."""
        request = Request(environ)
        request.max_content_length = MOST_BYTES
        try:
            answer, status = self._answer(request), 200
        except InputError as error:
            answer, status = {"error": str(error)}, 400
        except exceptions.HTTPException as error:
            answer, status = {"error": error.description}, error.code or 400
        except Exception:
            logging.exception("label backend")
            answer, status = {"error": "internal error"}, 500
        response = Response(
            json.dumps(answer), status, mimetype="application/json"
        )
        return response(environ, start_response)

    def _answer(self, request: Request) -> Any:
        path = request.path.rstrip("/") or "/"
        route = self._routes.get((request.method, path))
        if route is None:
            if any(path == known for _, known in self._routes):
                raise exceptions.MethodNotAllowed
            raise exceptions.NotFound
        body = None
        if request.method == "POST":
            body = request.get_json(force=True)
            if not isinstance(body, dict):
                raise InputError("is not an object", where=path, got=body)
        # The model and the project are used by one request at a time.
        with self._lock:
            return route(body)

    def health(self, body: Any = None) -> dict[str, str]:
        """Says that the backend is there."""
        del body
        return {"status": "UP", "model_class": MODEL}

    def setup(self, body: dict[str, Any]) -> dict[str, str]:
        """Checks the labeling configuration.

        Raises:
            InputError: one that the model's answers do not fit.
        """
        schema = body.get("schema")
        if schema:
            check_config(
                schema,
                self._classes(),
                self._kind,
                multilabel=self._multilabel,
            )
        return {"model_version": MODEL}

    def predict(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answers tasks.

        Raises:
            InputError: no list of tasks.
        """
        tasks = body.get("tasks")
        if not isinstance(tasks, list):
            raise InputError("is not a list", where="tasks", got=tasks)
        wanted = []
        for number, task in enumerate(tasks):
            data = task.get("data") if isinstance(task, dict) else None
            if not isinstance(data, dict):
                where = f"tasks, task {number}"
                raise InputError("has no data", where=where, got=task)
            wanted.append(Task(data.get(ID), str(data.get(self._kind, ""))))
        found = self._predict(wanted)
        nothing = {"result": [], "score": 1.0, "model_version": MODEL}
        return {
            "results": [
                prediction(p.names, p.confidence, p.order, self._kind)
                if p
                else nothing
                for p in found
            ]
        }

    def webhook(self, body: dict[str, Any]) -> dict[str, Any]:
        """Takes an annotation that was just made; passes over other events.

        Raises:
            InputError: an annotation that does not fit the project.
        """
        action = str(body.get("action"))
        if action not in _TAKEN:
            return {"action": action, "taken": 0}
        record = dict(body.get("task") or {})
        record["annotations"] = [body.get("annotation")]
        names = Names(ID, CONTROL, self._multilabel)
        answers = list(FORMS["label_studio"]([("webhook", record)], names))
        self._take(answers, action == "ANNOTATION_UPDATED")
        return {"action": action, "taken": len(answers)}


def check_config(
    schema: str, classes: Sequence[str], kind: str, *, multilabel: bool
) -> None:
    """Refuses a labeling configuration of another project.

    Args:
        schema: XML of Label Studio.
        classes: names that its choices must have.
        kind: "text" or "image".
        multilabel: whether several can be chosen.

    Raises:
        InputError: not XML, no control of the name `label`, other choices.
    """
    where = "the labeling configuration"
    # Entities can make a small file large.
    if len(schema) > _MOST_CONFIG or re.search(r"<!(DOCTYPE|ENTITY)", schema):
        raise InputError("is too large or holds entities", where=where)
    try:
        root = ElementTree.fromstring(schema)
    except ElementTree.ParseError as error:
        raise InputError(f"is not XML ({error})", where=where) from None
    found = {c.get("name"): c for c in root.iter("Choices")}
    control = found.get(CONTROL)
    if control is None:
        raise InputError(
            f"has no <Choices name={CONTROL!r}>",
            where=where,
            got=sorted(map(str, found)) or None,
        )
    own = [str(choice.get("value")) for choice in control.iter("Choice")]
    if sorted(own) != sorted(classes):
        raise InputError(
            "has other choices than the project has classes",
            where=where,
            got=own,
            expected=", ".join(classes),
        )
    is_many = control.get("choice") == "multiple"
    if is_many != multilabel or control.get("toName") != kind:
        many = "multiple" if multilabel else "single"
        raise InputError(
            f"its control {CONTROL} is of another kind",
            where=where,
            got=f"choice={control.get('choice')} "
            f"toName={control.get('toName')}",
            expected=f"choice={many} toName={kind}",
        )

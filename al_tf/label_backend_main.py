r"""A backend for Label Studio that answers for a project.

    python -m al_tf.label_backend_main --project=DIR --port=9090

Connect it in Label Studio under Settings, Model: http://127.0.0.1:9090. It
suggests labels, orders tasks by Cluster-Margin (sort them by prediction
score), and takes every annotation into the project as it is made. With
--model_server it asks a model that TF Serving serves; otherwise it trains the
project's own on the labels so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from absl import flags

from al_tf.project_main import open_project
from runkit import InputError, run_binary
from runkit.errors import cannot_listen
from runkit.flag_values import Flag, check_table

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag("project", "Folder of the project.", required=True),
    Flag("host", "Address to listen at.", default="127.0.0.1"),
    Flag("port", "Port to listen at; 0 takes a free one.", int, 9090, least=0),
    Flag(
        "model_server",
        "host:port of TF Serving, in place of the project's own model.",
        default="",
    ),
    Flag("model_name", "Name of the served model.", default="t5"),
    Flag(
        "transport",
        "How to reach TF Serving.",
        default="rest",
        choices=("rest", "grpc"),
    ),
)


def served_model(
    address: str, name: str, transport: str
) -> Callable[[Sequence[str]], list[tuple[list[str], float, float]]]:
    """A served model's signature `classify` as the predictor wants it."""
    from export.client import Client

    client = Client(address, name, transport=transport)

    def classify(texts: Sequence[str]) -> list[tuple[list[str], float, float]]:
        found = client.predict("classify", {"text": list(texts)})
        return [
            ([label.decode("utf-8")], float(row.max()), float(margin))
            for label, row, margin in zip(
                found["label"],
                found["probabilities"],
                found["margin"],
                strict=True,
            )
        ]

    return classify


def main(argv: Sequence[str]) -> None:
    """Serves until it is stopped."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    try:
        from werkzeug.serving import make_server
    except ImportError:
        raise InputError(
            "Werkzeug is not installed",
            where="label backend",
            remedy="pip install 'spactor-al[labeling]'",
        ) from None
    from al_tf.label_tools.ml_backend import Backend
    from al_tf.project.predictor import Predictor

    project, served = open_project(FLAGS.project), None
    if FLAGS.model_server:
        served = served_model(
            FLAGS.model_server, FLAGS.model_name, FLAGS.transport
        )
    predictor = Predictor(project, served)
    backend = Backend(
        predictor.predict,
        predictor.take,
        lambda: project.state.classes,
        project.pool.kind,
        multilabel=project.settings.multilabel,
    )
    try:
        server = make_server(FLAGS.host, FLAGS.port, backend, threaded=True)
    except (OSError, SystemExit) as error:
        if isinstance(error, SystemExit):  # Werkzeug has said why.
            error = OSError("the reason stands above")
        raise cannot_listen(error, FLAGS.host, FLAGS.port) from None
    print(f"listening at http://{FLAGS.host}:{server.server_port}", flush=True)
    server.serve_forever()


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()

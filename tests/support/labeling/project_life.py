"""The whole life of a project, step by step, for a process that is killed.

    python -m tests.support.labeling.project_life FOLDER NAME

Like a person, it looks at where the project stands and does what comes next.
Truth is the pool's: `pool.npz` and `more.npz` in FOLDER.
"""

import pathlib
import sys

from al_tf.label_tools.answers import LABEL, SKIP, UNSURE, Given
from al_tf.project.project import Project
from al_tf.project.settings import Settings
from tests.support import loop_data

ROUNDS = 10


def main(folder: pathlib.Path, name: str) -> None:
    """Ten batches with skips, two amendments, a new class, and growth."""
    settings = Settings(
        f"npz:{folder / 'pool.npz'}",
        test="0",
        batch_size=6,
        target_cluster_size=3.0,
    )
    project = Project.create(folder / name, settings)
    pools = (loop_data.blobs(), loop_data.blobs(40, 1))
    truth = [p.classes[label] for p in pools for label in p.labels]
    for number in range(ROUNDS):
        if number == 4:
            project.add_classes(["dog"])
        if number == 6:
            project.grow(f"npz:{folder / 'more.npz'}")
        if len(project.state.batches) <= number:
            project.next_batch()
        answer(project, number, truth)
        if number in (3, 7) and len(project.state.amendments) < number // 3:
            first = project.state.batches[number].ids[0]
            changed = "bee" if truth[first] == "ant" else "ant"
            amended = Given(first, "eve", LABEL, (changed,))
            project.take([amended], source="late.csv", accept_changes=True)


def answer(project: Project, number: int, truth: list[str]) -> None:
    """Answers most of a batch as two people, one event for each of them."""
    ids = project.state.batches[number].ids
    for who, part in (("eve", ids[:3]), ("bob", ids[2:5])):
        given = [Given(i, who, LABEL, (truth[i],)) for i in part]
        if number == 5 and who == "bob":
            given[0] = given[0]._replace(classes=("dog",))
        if number % 2:
            state = UNSURE if who == "eve" else SKIP
            given[1] = given[1]._replace(state=state, classes=())
        known = project.state.answers
        if not any(who in known.get(i, {}) for i in part):
            project.take(given, source=f"{who}-{number}.csv")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])

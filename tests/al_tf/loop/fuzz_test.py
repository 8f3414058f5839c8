"""Whatever a labels file holds: the labels that were meant, or an InputError.

At least 2,000 inputs a test. Any other exception fails it, and so does a label
that nobody gave.
"""

import contextlib
import csv
import io
import json
import pathlib

import hypothesis
import numpy as np
import pytest
from absl.testing import absltest
from hypothesis import strategies as st

from al_tf.label_tools.readers import read_answers
from al_tf.label_tools.records import Names
from al_tf.loop.label_files import read_labels
from runkit import InputError
from tests.support import loop_data
from tests.support.faults import fuzzing

pytestmark = pytest.mark.slow
IDS = (3, 7, 5)
CLASSES = ("bad", "good")
CELLS = st.text(
    st.sampled_from('ab1,;\t|"\n\r \0é\u2028\ufeff=-.') | st.characters(),
    max_size=8,
)
LABELS = st.lists(st.integers(0, 1), min_size=3, max_size=3)
JSON = fuzzing.json_values(("example_id", "label", "annotations", "data"))
TASK = {
    "id": 1,
    "data": {"text": "a", "example_id": 3, "batch": "batch-0"},
    "annotations": [
        {
            "completed_by": {"id": 1, "email": "a@b.org"},
            "was_cancelled": False,
            "result": [
                {
                    "from_name": "label",
                    "to_name": "text",
                    "type": "choices",
                    "value": {"choices": ["good"]},
                }
            ],
        }
    ],
}
RECORDS = {
    "label_studio": TASK,
    "label_studio_min": {
        "annotation_id": 4,
        "annotator": 1,
        "example_id": 3,
        "label": "good",
    },
    "doccano": {"id": 1, "example_id": 3, "label": ["good"], "Comments": []},
    "argilla": {
        "id": "a",
        "fields": {"text": "a"},
        "metadata": {"example_id": 3},
        "status": "completed",
        "responses": {
            "label": [{"value": "good", "user_id": "u", "status": "submitted"}]
        },
    },
    "prodigy": {
        "text": "a",
        "accept": ["good"],
        "answer": "accept",
        "meta": {"example_id": 3},
        "_task_hash": 1,
        "_input_hash": 2,
    },
    "table": {"example_id": 3, "label": "good"},
}


class FuzzTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        pool = loop_data.texts(10).take(np.arange(2, 10))
        self.batch = pool.take(np.array([1, 5, 3]))  # Rows 3, 7 and 5.

    def read(self, name, data):
        """Labels, or None where the file is refused."""
        path = self.folder / name
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            labels = read_labels(path, self.batch)
            self.assertLen(labels, len(IDS))
            self.assertContainsSubset(labels.tolist(), [0, 1])
            return labels.tolist()
        return None

    @fuzzing.many
    @hypothesis.given(
        labels=LABELS,
        order=st.permutations(range(3)),
        twice=st.lists(st.integers(0, 2), max_size=2),
        notes=st.lists(CELLS, min_size=5, max_size=5),
        by=st.sampled_from(",;\t|"),
        encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
        end=st.sampled_from(["\n", "\r\n"]),
        columns=st.permutations(["example_id", "label", "note"]),
    )
    def test_tables_of_the_same_labels(
        self, labels, order, twice, notes, by, encoding, end, columns
    ):
        out = io.StringIO()
        writer = csv.DictWriter(
            out,
            columns,
            delimiter=by,
            lineterminator=end,
            quoting=csv.QUOTE_ALL,
        )
        writer.writeheader()
        for i, note in zip([*order, *twice], notes, strict=False):
            label = CLASSES[labels[i]]
            row = {"example_id": IDS[i], "label": label, "note": note}
            writer.writerow(row)
        found = self.read("a.csv", out.getvalue().encode(encoding, "replace"))
        self.assertIn(found, [labels, None])
        if not any("\0" in note for note in notes):
            self.assertEqual(found, labels)

    @fuzzing.many
    @hypothesis.given(
        labels=LABELS,
        row=st.integers(0, 2),
        what=st.sampled_from(["gone", "other", "stranger", "class", "empty"]),
        suffix=st.sampled_from([".csv", ".jsonl", ".json"]),
        number=st.integers(-(2**70), 2**70).filter(lambda n: n not in IDS),
        name=CELLS.filter(lambda text: text.strip() not in CLASSES),
    )
    def test_wrong_tables_are_refused(
        self, labels, row, what, suffix, number, name
    ):
        rows = [
            {"example_id": i, "label": CLASSES[label]}
            for i, label in zip(IDS, labels, strict=True)
        ]
        if what == "gone":
            del rows[row]
        elif what == "other":
            other = CLASSES[1 - labels[row]]
            rows.append({"example_id": IDS[row], "label": other})
        elif what == "stranger":
            rows.append({"example_id": number, "label": "good"})
        else:
            rows[row]["label"] = name if what == "class" else ""
        if suffix == ".csv":
            out = io.StringIO()
            writer = csv.DictWriter(out, ["example_id", "label"])
            writer.writeheader()
            writer.writerows(rows)
            data = out.getvalue()
        elif suffix == ".jsonl":
            data = "\n".join(map(json.dumps, rows))
        else:
            data = json.dumps(rows)
        self.assertIsNone(
            self.read(f"a{suffix}", data.encode("utf-8", "replace"))
        )

    @fuzzing.many
    @hypothesis.given(st.data(), LABELS)
    def test_damaged_tables(self, data, labels):
        rows = [
            {"example_id": i, "label": CLASSES[label]}
            for i, label in zip(IDS, labels, strict=True)
        ]
        lines = "\n".join(map(json.dumps, rows)).encode()
        table = "example_id,label\n" + "".join(
            f"{row['example_id']},{row['label']}\n" for row in rows
        )
        name, whole = data.draw(
            st.sampled_from([("a.jsonl", lines), ("a.csv", table.encode())])
        )
        changed = data.draw(fuzzing.damaged_bytes(whole))
        found = self.read(name, changed)
        # Cut short, a file is refused: never fewer labels than were asked for.
        if found is not None:
            hypothesis.event("read")

    def test_the_records_are_whole(self):
        for form, record in RECORDS.items():
            path = self.folder / "a.json"
            path.write_text(json.dumps([record]))
            for stated in ("", form):
                [answer] = read_answers(path, Names(), stated)
                self.assertEqual(answer.example, 3, form)
                self.assertIn("good", answer.value, form)

    @fuzzing.many
    @hypothesis.given(st.data())
    def test_records_of_tools(self, data):
        form = data.draw(st.sampled_from(list(RECORDS)))
        record = data.draw(fuzzing.changed_json(RECORDS[form]))
        stated = data.draw(st.sampled_from(["", form]))
        path = self.folder / "a.json"
        path.write_text(json.dumps([record, RECORDS[form]]))
        with contextlib.suppress(InputError):
            for answer in read_answers(path, Names(), stated):
                self.assertTrue(answer.place)
        self.read("a.json", path.read_bytes())

    @fuzzing.many
    @hypothesis.given(st.lists(JSON, max_size=4))
    def test_any_json(self, values):
        self.read("a.json", json.dumps(values).encode())
        lines = "\n".join(map(json.dumps, values)).encode()
        self.read("a.jsonl", lines)


if __name__ == "__main__":
    absltest.main()

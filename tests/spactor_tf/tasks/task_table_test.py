"""The table of tasks in the documents is the one that the code makes."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import absltest

from spactor_tf import tasks
from tests.support import task_table


class TableTest(absltest.TestCase):
    def test_the_document_is_up_to_date(self):
        text = task_table.PATH.read_text(encoding="utf-8")
        self.assertEqual(
            text,
            task_table.replaced(text),
            "run python -m tests.support.task_table",
        )

    def test_a_row_for_each_task(self):
        rows = task_table.table().splitlines()[2:]
        single = [
            name
            for name in tasks.task_names()
            if not name.startswith(("bbh_", "mmlu_"))
        ]
        self.assertLen(rows, len(single))
        for name, row in zip(single, rows, strict=True):
            self.assertStartsWith(row, f"| `{name}`")


if __name__ == "__main__":
    absltest.main()

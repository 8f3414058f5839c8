"""Files that look like data and are not, or not of the encoding they seem."""

import contextlib
import io
import pathlib

from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.datasets import open_texts


class MisreadTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def write_arrow(self, name, texts):
        import pyarrow as pa

        table = pa.table({"text": texts})
        with pa.ipc.new_stream(str(self.folder / name), table.schema) as sink:
            sink.write_table(table)

    def test_caches_of_hugging_face_are_no_data(self):
        self.write_arrow("data-00000-of-00001.arrow", ["a", "b"])
        self.write_arrow("cache-0f3a91c2.arrow", ["A", "B"])
        self.write_arrow("cache-0f3a91c2_00000_of_00002.arrow", ["A"])
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            texts = open_texts(f"arrow:{self.folder}/*.arrow:text")
        self.assertEqual([r.text for r in texts.records()], ["a", "b"])
        self.assertRegex(told.getvalue(), r"left out 2 file\(s\).*data-00000")
        named = open_texts(f"arrow:{self.folder}/cache-0f3a91c2.arrow:text")
        self.assertEqual([r.text for r in named.records()], ["A", "B"])

    @parameterized.product(
        encoding=("utf-16-le", "utf-16-be"), unit=("", ":lines")
    )
    def test_utf_16_that_nothing_marks(self, encoding, unit):
        # Its bytes are those of control characters and ASCII.
        text = "где мы были там и есть и где мы будем там и был он\n" * 3
        path = self.folder / "wide.txt"
        path.write_bytes(text.encode(encoding))
        with self.assertRaisesRegex(
            InputError, r"wide.txt, text 1: holds \d+ zero bytes.*iconv"
        ):
            list(open_texts(f"text:{path}{unit}").records())

    def test_a_few_zeros_are_text(self):
        path = self.folder / "plain.txt"
        path.write_bytes(b"a\0b\0c " * 3 + b"and more words " * 20)
        self.assertLen(list(open_texts(f"text:{path}").records()), 1)


if __name__ == "__main__":
    absltest.main()

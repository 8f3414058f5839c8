"""JSON Lines from outside."""

import csv
import io
import json
import pathlib

from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.datasets.tables import (
    field,
    json_lines,
    rows,
    text_field,
    whole_text,
)


def values(path):
    return [value for _, value in json_lines(path)]


class JsonLinesTest(parameterized.TestCase):
    def write(self, text):
        path = pathlib.Path(self.create_tempdir().full_path) / "rows.jsonl"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return path

    def test_unicode_line_ends_stay_inside_a_text(self):
        rows = [{"text": "a\u2028b\x85c\x0bd"}, {"text": "e"}]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        path = self.write("\n".join(lines) + "\n\n")
        self.assertEqual(values(path), rows)

    def test_places_count_blank_lines_and_a_mark_is_no_text(self):
        path = self.write("\ufeff1\n\n2\n")
        self.assertEqual(
            list(json_lines(path)),
            [(f"{path}, line 1", 1), (f"{path}, line 3", 2)],
        )

    def test_windows_line_ends(self):
        self.assertEqual(values(self.write("1\r\n2\r\n")), [1, 2])

    @parameterized.parameters(
        ("{}\n{", "line 2"),
        ("\udcff", "not UTF-8"),
    )
    def test_bad_files(self, text, message):
        with self.assertRaisesRegex(InputError, message):
            values(self.write(text))

    def test_missing_file(self):
        with self.assertRaisesRegex(InputError, "cannot be read"):
            values(pathlib.Path("nowhere.jsonl"))

    def test_fields(self):
        row = {"text": "a", "label": 1}
        self.assertEqual(text_field(row, "text", "here"), "a")
        self.assertEqual(field(row, "label", "here"), 1)
        with self.assertRaisesRegex(InputError, "is not text"):
            text_field(row, "label", "here")
        self.assertEqual(whole_text("\u05e9", "here"), "\u05e9")
        with self.assertRaisesRegex(InputError, "half of .* at position 1"):
            whole_text("a\udc00", "here")
        with self.assertRaisesRegex(InputError, "text"):
            field(row, "txet", "here")
        with self.assertRaisesRegex(InputError, "no field"):
            field([1], "text", "here")


class CsvTest(parameterized.TestCase):
    def write(self, data, name="table.csv"):
        path = pathlib.Path(self.create_tempdir().full_path) / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def read(self, data, name="table.csv"):
        return [row for _, row in rows(self.write(data, name))]

    def test_a_surplus_cell_is_refused(self):
        # Else "bad", the suggestion, would stand in the column of the label.
        text = "id,text,suggested,label\n7,great, but late,bad,good\n"
        with self.assertRaisesRegex(InputError, "record 1: has more cells"):
            self.read(text)

    @parameterized.parameters(
        "a,b\n1,2\n,\n",
        "a,b\n\n , \n1,2\n",
        "a,b\n1,2,,\n",
    )
    def test_empty_cells_of_spreadsheets(self, text):
        self.assertEqual(self.read(text), [{"a": "1", "b": "2"}])

    @parameterized.product(
        separator=(",", ";", "\t", "|"),
        encoding=("utf-8", "utf-8-sig", "utf-16"),
        end=("\n", "\r\n"),
        first=("", "sep={}\n"),
    )
    def test_tables_of_spreadsheets(self, separator, encoding, end, first):
        cells = [["id", "text, or"], ["7", 'a; "b", c\td|\u00e9'], ["8", ""]]
        out = io.StringIO()
        out.write(first.format(separator))
        writer = csv.writer(out, delimiter=separator, lineterminator=end)
        writer.writerows(cells)
        self.assertEqual(
            self.read(out.getvalue().encode(encoding)),
            [dict(zip(cells[0], row, strict=True)) for row in cells[1:]],
        )

    def test_an_open_quote_is_refused(self):
        # Else the rest of the table is one cell.
        with self.assertRaisesRegex(InputError, "line 3: .*never closed"):
            self.read('a,b\n1,2\n3,"4\n5,6\n7,8\n')
        found = self.read('a,b\n1,"4\n5"\n3,it"s\n')
        self.assertEqual([row["b"] for row in found], ["4\n5", 'it"s'])

    @parameterized.parameters(
        # Read on, the rows in between would be a part of the first text.
        'text,label\n"a,x\nb,y\nc" z,w\nd,v\n',
        'text,label\n"a \\"b\\" c",x\n',
    )
    def test_text_after_a_quoted_cell_is_refused(self, text):
        with self.assertRaisesRegex(
            InputError, r"line 2: .*after the end of a quoted.* a quote twice"
        ):
            self.read(text.encode())

    def test_a_repeated_header_is_refused(self):
        with self.assertRaisesRegex(InputError, "names a column twice"):
            self.read("label,id,label\n1,2,3\n")

    @parameterized.parameters(
        ("a.jsonl", '{"label": 1, "id": 2, "label": 3}'),
        ("a.jsonl", '{"a": {"x": 1, "x": 1}}'),
        ("a.json", '[{"label": 1, "label": 2}]'),
    )
    def test_a_repeated_name_in_an_object_is_refused(self, name, text):
        path = pathlib.Path(self.create_tempdir().full_path) / name
        path.write_text(text)
        with self.assertRaisesRegex(InputError, "names '(label|x)' twice"):
            list(rows(path))


if __name__ == "__main__":
    absltest.main()

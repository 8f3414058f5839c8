"""Which options a format can have; what is refused, and how it is said."""

from absl.testing import absltest, parameterized

from export import export_main
from export.formats import table
from runkit import InputError
from tests.support import testing


def check(name: str, dtype: str = "float32", **given):
    with testing.main_flags(export_main, **given) as values:
        return table.check_format(name, dtype, export_main.FORMAT_FLAGS, values)


class FormatTest(parameterized.TestCase):
    @parameterized.parameters(*table.FORMATS)
    def test_defaults_are_every_format_s(self, name):
        form = check(name)
        self.assertIs(form, table.FORMATS[name])
        self.assertIn("embed", form.answers)

    @parameterized.parameters(
        ("hugging_face", {"labels": ["a", "b"]}, "--labels: means nothing"),
        ("hugging_face", {"version": 3}, "--version"),
        ("hugging_face", {"unit_norm": True}, "--unit_norm"),
        ("ctranslate2", {"decoding": "beam"}, "--decoding"),
        ("ctranslate2", {"request_options": True}, "--request_options"),
        ("onnx", {"max_output_length": 9}, "onnx, which answers embed; got"),
        ("openvino", {"model_name": "x"}, "--model_name"),
        ("saved_model", {"runtime_python": "python3"}, "--runtime_python"),
    )
    def test_an_option_that_it_cannot_have(self, name, given, message):
        with self.assertRaisesRegex(InputError, message):
            check(name, **given)

    def test_an_option_that_it_has(self):
        check("saved_model", labels=["a", "b"], version=3, unit_norm=True)
        check("hugging_face", input_length=9)
        check("onnx", unit_norm=True)

    @parameterized.parameters(
        ("onnx", "bfloat16", "--dtype: cannot be written as onnx"),
        ("saved_model", "int8", "--format=ctranslate2 has it"),
        ("hugging_face", "int8", "--format=ctranslate2 has it"),
    )
    def test_a_type_that_it_cannot_have(self, name, dtype, message):
        with self.assertRaisesRegex(InputError, message):
            check(name, dtype)

    def test_an_unknown_format(self):
        with self.assertRaisesRegex(InputError, "Did you mean 'ctranslate2'"):
            check("ctranslate")


if __name__ == "__main__":
    absltest.main()

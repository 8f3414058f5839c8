"""Labels files that can be read, as tools and people write them.

Each is name: (file name, content, what is read: {example: label or state},
or a part of the refusal).
"""

import gzip
import json

CLASSES = ("ham", "spam", "été")
IDS = ("a1", "b2", "c3")
ALL = {"a1": "ham", "b2": "spam", "c3": "été"}
ROWS = "id,label\na1,ham\nb2,spam\nc3,été\n"
CRLF = ROWS.replace("\n", "\r\n")
NFD = ROWS.replace("é", "e\u0301")


MIN_HEADER = "id,example_id,label,annotator,annotation_id\n"


def lines(*records):
    """JSON Lines."""
    return "".join(json.dumps(r) + "\n" for r in records)


def simple(**more):
    """Records of a table with every label."""
    return [{"id": i, "label": ALL[i], **more} for i in IDS]


def task(name="a1", choices=("ham",), person=1, control="label", **fields):
    """A task of Label Studio with one annotation."""
    result = [
        {
            "from_name": control,
            "to_name": "text",
            "type": "choices",
            "value": {"choices": list(choices)},
        }
    ]
    annotation = {"result": result, "completed_by": person, **fields}
    return {
        "id": 901,
        "data": {"text": "x", "example_id": name},
        "annotations": [annotation],
    }


def minimal(name="a1", label="ham", **fields):
    """A row of Label Studio's JSON-MIN."""
    return {
        "id": 901,
        "text": "x",
        "example_id": name,
        "label": label,
        "annotator": 1,
        "annotation_id": 5,
        "lead_time": 2.5,
        **fields,
    }


def prodigy(name="a1", accept=("ham",), answer="accept", **fields):
    options = [{"id": c, "text": c} for c in CLASSES]
    return {
        "text": "x",
        "example_id": name,
        "options": options,
        "accept": list(accept),
        "answer": answer,
        "_task_hash": 1,
        **fields,
    }


def argilla(name="a1", *responses, question="label"):
    """A record of Argilla."""
    return {
        "id": name,
        "fields": {"text": "x"},
        "metadata": {"example_id": name},
        "suggestions": {},
        "responses": {question: list(responses)} if responses else {},
        "vectors": {},
    }


A1 = {"a1": "ham"}
# Files of examples with one class each.
RIGHT = {
    "csv": ("l.csv", ROWS, ALL),
    "no_last_line_end": ("l.csv", ROWS[:-1], ALL),
    "crlf": ("l.csv", CRLF, ALL),
    "byte_order_mark": ("l.csv", "\ufeff" + CRLF, ALL),
    "utf16": ("l.csv", CRLF.encode("utf-16"), ALL),
    "utf16_le_without_mark": ("l.csv", ROWS.encode("utf-16-le"), ALL),
    "utf16_be_without_mark": ("l.csv", ROWS.encode("utf-16-be"), ALL),
    "utf32": ("l.csv", ROWS.encode("utf-32"), ALL),
    "semicolons": ("l.csv", ROWS.replace(",", ";"), ALL),
    "tabs_in_csv": ("l.csv", ROWS.replace(",", "\t"), ALL),
    "tsv": ("l.tsv", ROWS.replace(",", "\t"), ALL),
    "all_quoted": (
        "l.csv",
        'id,label\n"a1","ham"\n"b2","spam"\n',
        {"a1": "ham", "b2": "spam"},
    ),
    "quoted_header": ("l.csv", '"id","label"\na1,ham\n', A1),
    "quoted_separator": ("l.csv", 'id,text,label\na1,"x, y",ham\n', A1),
    "quoted_line_end": ("l.csv", 'id,text,label\na1,"x\ny",ham\n', A1),
    "quoted_quote": ("l.csv", 'id,text,label\na1,"x ""y"" z",ham\n', A1),
    "other_order_of_columns": ("l.csv", "label,id\nham,a1\n", A1),
    "other_order_of_rows": (
        "l.csv",
        "id,label\nc3,été\na1,ham\nb2,spam\n",
        ALL,
    ),
    "extra_columns": ("l.csv", "n,id,note,label\n1,a1,!,ham\n", A1),
    "partial": ("l.csv", "id,label\na1,ham\nb2,\nc3,  \n", A1),
    "rows_of_commas": ("l.csv", "id,label\na1,ham\n,\n,\n", A1),
    "empty_lines": ("l.csv", "id,label\n\na1,ham\n\n", A1),
    "spaces_around": ("l.csv", "id,label\na1, ham \n", A1),
    "decomposed_accents": ("l.csv", NFD, ALL),
    "equal_duplicates": ("l.csv", "id,label\na1,ham\na1,ham\n", A1),
    "gzip": ("l.csv.gz", gzip.compress(ROWS.encode()), ALL),
    "gzip_by_another_name": ("l.csv", gzip.compress(ROWS.encode()), ALL),
    "status": (
        "l.csv",
        "id,label,status\na1,,skip\nb2,,Unsure\nc3,été,\n",
        {"a1": "skip", "b2": "unsure", "c3": "été"},
    ),
    "capitals_of_columns": (
        "l.csv",
        "id,label, Status,Annotator\na1,,Skip,eve\n",
        {"a1": "skip"},
    ),
    "person_who_became_a_fraction": (
        "l.csv",
        "id,label,annotator\na1,ham,1\na1,ham,1.0\n",
        A1,
    ),
    "not_a_number_for_nothing": (
        "l.jsonl",
        '{"id": "a1", "label": "ham", "status": NaN, "batch": NaN}\n',
        A1,
    ),
    "json_lines": ("l.jsonl", lines(*simple()), ALL),
    "ndjson": ("l.ndjson", lines(*simple()), ALL),
    "json_list": ("l.json", json.dumps(simple()), ALL),
    "json_list_indented": ("l.json", json.dumps(simple(), indent=2), ALL),
    "json_escapes": (
        "l.jsonl",
        json.dumps({"id": "c3", "label": "\u00e9t\u00e9"}),
        {"c3": "été"},
    ),
    "json_null": (
        "l.jsonl",
        lines({"id": "a1", "label": None}, {"id": "b2", "label": "spam"}),
        {"b2": "spam"},
    ),
    "json_list_of_one": ("l.jsonl", lines({"id": "a1", "label": ["ham"]}), A1),
    "label_studio": (
        "l.json",
        json.dumps([task(), task("b2", ["spam"])]),
        {"a1": "ham", "b2": "spam"},
    ),
    "label_studio_skipped": (
        "l.json",
        json.dumps([task(was_cancelled=True)]),
        {"a1": "skip"},
    ),
    "label_studio_unsure": (
        "l.json",
        json.dumps([task(choices=["unsure"], control="status")]),
        {"a1": "unsure"},
    ),
    "label_studio_empty": (
        "l.json",
        json.dumps([task(result=[]), task("b2", ["spam"])]),
        {"b2": "spam"},
    ),
    "label_studio_by_email": (
        "l.json",
        json.dumps([task(person={"id": 3, "email": "e@x"})]),
        A1,
    ),
    "label_studio_min": (
        "l.json",
        json.dumps([minimal(), minimal("c3", "été")]),
        {"a1": "ham", "c3": "été"},
    ),
    "label_studio_min_choices": (
        "l.json",
        json.dumps([minimal(label={"choices": ["ham"]})]),
        A1,
    ),
    "label_studio_min_empty": (
        "l.json",
        json.dumps([minimal(), minimal("b2", None)]),
        A1,
    ),
    "label_studio_csv": (
        "l.csv",
        "text,id,example_id,label,annotator,annotation_id\nx,901,a1,ham,1,5\n",
        A1,
    ),
    "label_studio_csv_choices": (
        "l.csv",
        MIN_HEADER + '901,a1,"{""choices"": [""ham""]}",1,5\n',
        A1,
    ),
    "doccano": (
        "l.jsonl",
        lines(
            {
                "id": 7,
                "text": "x",
                "example_id": "a1",
                "label": ["ham"],
                "Comments": [],
            }
        ),
        A1,
    ),
    "doccano_unlabeled": (
        "l.jsonl",
        lines(
            {
                "id": 7,
                "text": "x",
                "example_id": "a1",
                "label": [],
                "Comments": [],
            }
        ),
        {},
    ),
    "doccano_csv": (
        "l.csv",
        "id,text,example_id,label,Comments\n7,x,a1,ham,\n",
        A1,
    ),
    "argilla": (
        "l.json",
        json.dumps(
            [argilla("a1", {"value": "ham", "user_id": "u"}), argilla("b2")]
        ),
        A1,
    ),
    "argilla_discarded": (
        "l.json",
        json.dumps(
            [
                argilla(
                    "a1", {"value": None, "user_id": "u", "status": "discarded"}
                )
            ]
        ),
        {"a1": "skip"},
    ),
    "argilla_draft": (
        "l.json",
        json.dumps(
            [argilla("a1", {"value": "ham", "user_id": "u", "status": "draft"})]
        ),
        {},
    ),
    "prodigy": (
        "l.jsonl",
        lines(prodigy(), prodigy("b2", ["spam"])),
        {"a1": "ham", "b2": "spam"},
    ),
    "prodigy_ignored": (
        "l.jsonl",
        lines(prodigy(answer="ignore")),
        {"a1": "skip"},
    ),
    "prodigy_rejected": (
        "l.jsonl",
        lines(prodigy(answer="reject")),
        {"a1": "skip"},
    ),
    "prodigy_one_label": (
        "l.jsonl",
        lines(
            {
                "text": "x",
                "example_id": "a1",
                "label": "ham",
                "answer": "accept",
                "_input_hash": 3,
            }
        ),
        A1,
    ),
}

"""Labels files that are refused, and those with several classes each.

See `label_forms`.
"""

import gzip
import json

from tests.support.labeling.label_forms import (
    MIN_HEADER,
    ROWS,
    argilla,
    lines,
    minimal,
    prodigy,
    task,
)

REFUSED = {
    "latin1": ("l.csv", ROWS.encode("latin-1"), "line 1.*'utf-8' codec"),
    "unquoted_separator": (
        "l.csv",
        "id,text,label\na1,x, y,ham\n",
        "record 1.*more cells",
    ),
    "column_twice": (
        "l.csv",
        "id,label,label\na1,ham,spam\n",
        "names a column twice",
    ),
    "no_header": ("l.csv", "a1,ham\nb2,spam\n", "has no field 'id'"),
    "no_label_column": (
        "l.csv",
        "id,lable\na1,ham\n",
        "record 1.*'label'.*'lable'",
    ),
    "no_id_column": (
        "l.csv",
        "ids,label\na1,ham\n",
        "record 1.*has no field 'id'",
    ),
    "empty_file": ("l.csv", "", "l.csv"),
    "header_alone": ("l.csv", "id,label\n", "holds no records"),
    "strange_id": (
        "l.csv",
        "id,label\na1,ham\nz9,ham\n",
        "record 2.*not asked for: z9",
    ),
    "two_ids": (
        "l.jsonl",
        lines({"id": "a1", "example_id": "b2", "label": "ham"}),
        "line 1.*has two ids, id and example_id",
    ),
    "missing_id": ("l.csv", "id,label\n,ham\n", "record 1.*not asked for"),
    "unknown_class": (
        "l.csv",
        "id,label\na1,ham\nb2,spma\n",
        "record 2.*b2 is 'spma'.*'spam'",
    ),
    "class_in_other_case": (
        "l.csv",
        "id,label\na1,HAM\n",
        "record 1.*'HAM'.*'ham'",
    ),
    "two_answers": (
        "l.csv",
        "id,label\na1,ham\nb2,spam\na1,spam\n",
        "record 3.*disagree: a1",
    ),
    "several_classes": (
        "l.jsonl",
        lines({"id": "a1", "label": ["ham", "spam"]}),
        "line 1.*ham|spam",
    ),
    "nested_label": (
        "l.jsonl",
        lines({"id": "a1", "label": {"ham": 1}}),
        "line 1.*unknown classes",
    ),
    "unknown_status": (
        "l.csv",
        "id,label,status\na1,ham,maybe\n",
        "record 1, field status",
    ),
    "skipped_with_label": (
        "l.csv",
        "id,label,status\na1,ham,skip\n",
        "record 1.*ham and skip",
    ),
    "broken_json": (
        "l.jsonl",
        '{"id": "a1", "label": "ham"}\n{"id":',
        "line 2: is not JSON",
    ),
    "truncated_list": (
        "l.json",
        '[{"id": "a1", "label": "ham"},',
        "item 1: is not JSON",
    ),
    "not_objects": ("l.jsonl", "[1, 2]\n", "line 1.*not an object"),
    "unknown_suffix": ("l.xlsx", "PK", "not a table"),
    "truncated_gzip": (
        "l.csv.gz",
        gzip.compress(ROWS.encode())[:-9],
        "cannot be read",
    ),
    "label_studio_other_control": (
        "l.json",
        json.dumps([task(control="sentiment")]),
        "item 0, annotation 0.*another labeling configuration.*sentiment",
    ),
    "label_studio_other_classes": (
        "l.json",
        json.dumps([task(choices=["Positive"])]),
        "item 0, annotation 0.*'Positive'",
    ),
    "label_studio_no_id": (
        "l.json",
        json.dumps([{"id": 1, "data": {"text": "x"}, "annotations": []}]),
        "item 0.*no field 'example_id'",
    ),
    "label_studio_old": (
        "l.json",
        json.dumps(
            [{"id": 1, "data": {"example_id": "a1"}, "completions": []}]
        ),
        "item 0: has no field 'annotations'",
    ),
    "label_studio_two_people_who_are_one": (
        "l.json",
        json.dumps([task(), task(choices=["spam"])]),
        "item 1, annotation 0.*disagree: a1",
    ),
    "label_studio_min_own_number": (
        "l.json",
        json.dumps([{"id": 901, "label": "ham", "annotation_id": 5}]),
        "item 0.*no field 'example_id'",
    ),
    "label_studio_min_other_control": (
        "l.json",
        json.dumps([minimal(label=None, sentiment="ham")]),
        "item 0.*another labeling configuration.*sentiment",
    ),
    "label_studio_csv_other_control": (
        "l.csv",
        MIN_HEADER.replace("label", "sentiment") + "901,a1,ham,1,5\n",
        "record 1.*another labeling configuration.*sentiment",
    ),
    "doccano_no_id": (
        "l.jsonl",
        lines({"id": 7, "text": "x", "label": ["ham"], "Comments": []}),
        "line 1.*no field 'example_id'",
    ),
    "argilla_other_question": (
        "l.json",
        json.dumps([argilla("a1", {"value": "ham"}, question="topic")]),
        "item 0.*another question.*topic",
    ),
    "prodigy_rejected_label": (
        "l.jsonl",
        lines(
            {
                "example_id": "a1",
                "label": "ham",
                "answer": "reject",
                "_input_hash": 3,
            }
        ),
        "line 1.*the others were not",
    ),
    "prodigy_odd_answer": (
        "l.jsonl",
        lines(prodigy(answer="yes")),
        "line 1.*is not an answer",
    ),
    "another_batch_by_another_column": (
        "l.csv",
        "id,label,Batch\na1,ham,feed0000-000\n",
        "record 1.*another project: feed0000-000",
    ),
    "person_who_became_a_fraction": (
        "l.csv",
        "id,label,annotator\na1,ham,1\na1,spam,1.0\n",
        "record 2.*disagree: a1",
    ),
    "another_batch": (
        "l.csv",
        "id,label,batch\na1,ham,feed0000-000\n",
        "record 1.*another project: feed0000-000",
    ),
}
MANY = {
    "joined": (
        "l.csv",
        "id,label\na1,ham|spam\nb2,-\nc3,été\n",
        {"a1": "ham|spam", "b2": "", "c3": "été"},
    ),
    "lists": (
        "l.jsonl",
        lines(
            {"id": "a1", "label": ["spam", "ham"]}, {"id": "b2", "label": []}
        ),
        {"a1": "ham|spam", "b2": ""},
    ),
    "label_studio": (
        "l.json",
        json.dumps([task(choices=["spam", "ham"])]),
        {"a1": "ham|spam"},
    ),
    "label_studio_none": ("l.json", json.dumps([task(result=[])]), {"a1": ""}),
    "label_studio_min": (
        "l.json",
        json.dumps([minimal(label={"choices": ["ham", "spam"]})]),
        {"a1": "ham|spam"},
    ),
    "label_studio_csv": (
        "l.csv",
        MIN_HEADER + '901,a1,"{""choices"": [""ham"", ""spam""]}",1,5\n',
        {"a1": "ham|spam"},
    ),
    "label_studio_csv_none": (
        "l.csv",
        MIN_HEADER + "901,a1,ham,1,5\n902,b2,,1,6\n",
        {"a1": "ham", "b2": ""},
    ),
    "label_studio_min_of_two_configurations": (
        "l.json",
        json.dumps([minimal(), minimal("b2", None, sentiment="ham")]),
        "item 1.*another labeling configuration.*sentiment",
    ),
    "doccano_csv": (
        "l.csv",
        "id,text,example_id,label,Comments\n7,x,a1,ham#spam,\n",
        {"a1": "ham|spam"},
    ),
    "doccano": (
        "l.jsonl",
        lines(
            {
                "id": 7,
                "example_id": "a1",
                "label": ["ham", "spam"],
                "Comments": [],
            }
        ),
        {"a1": "ham|spam"},
    ),
    "argilla": (
        "l.json",
        json.dumps([argilla("a1", {"value": ["ham", "spam"], "user_id": "u"})]),
        {"a1": "ham|spam"},
    ),
    "prodigy": (
        "l.jsonl",
        lines(prodigy(accept=["ham", "spam"])),
        {"a1": "ham|spam"},
    ),
    "prodigy_none": ("l.jsonl", lines(prodigy(accept=[])), {"a1": ""}),
    "prodigy_one_label": (
        "l.jsonl",
        lines(
            {
                "example_id": "a1",
                "label": "ham",
                "answer": "accept",
                "_input_hash": 3,
            }
        ),
        "line 1.*the others were not",
    ),
    "unknown": ("l.csv", "id,label\na1,ham|sapm\n", "record 1.*a1 is 'sapm'"),
}

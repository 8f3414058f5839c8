"""Made-up records of the benchmarks, with the features that TFDS gives them.

make_task_golden.py shows them to T5's own preprocessors, and the tests write
them as TFDS datasets. Lists hold records; the last one of a task with hidden
test labels is such a test record (label -1).
"""

_CAT = "A cat sleeps."
_MNLI = [
    {"premise": _CAT, "hypothesis": "An animal rests.", "label": 0, "idx": 3},
    {
        "premise": "A cat  sleeps.",
        "hypothesis": "It is a dog.",
        "label": 2,
        "idx": 4,
    },
    {"premise": _CAT, "hypothesis": "It is black.", "label": -1, "idx": 0},
]
_PAIRS = [
    {
        "sentence1": "The plant closed .",
        "sentence2": "The mill shut .",
        "label": 1,
        "idx": 7,
    },
    {
        "sentence1": "Rain fell.",
        "sentence2": "Snow: none fell.",
        "label": 0,
        "idx": 9,
    },
    {"sentence1": "Is it?", "sentence2": "It is?", "label": -1, "idx": 2},
]
_PASSAGE = (
    "Ada Stone opened her shop in Leeds.\n@highlight\nThe shop sells lamps"
    "\n@highlight\nLeeds is proud"
)
_WSC = {
    "text": "Mitchell asked Tom if he could lend some money.",
    "span1_text": "Tom",
    "span1_index": 2,
    "span2_text": "he",
    "span2_index": 4,
}

RECORDS: dict[str, list[dict]] = {
    "glue/cola": [
        {"sentence": "The book was read.", "label": 1, "idx": 0},
        {"sentence": "Book the read was.", "label": 0, "idx": 1},
        {"sentence": "Who knows?", "label": -1, "idx": 2},
    ],
    "glue/sst2": [
        {"sentence": "a warm , funny film ", "label": 1, "idx": 11},
        {"sentence": "dull", "label": 0, "idx": 12},
        {"sentence": "neither nor", "label": -1, "idx": 13},
    ],
    "glue/mrpc": _PAIRS,
    "glue/qqp": [
        {
            "question1": "How old is it?",
            "question2": "What is its age?",
            "label": 1,
            "idx": 5,
        },
        {"question1": "Why?", "question2": "Who?", "label": 0, "idx": 6},
        {"question1": "Why?", "question2": "How?", "label": -1, "idx": 0},
    ],
    "glue/stsb": [
        {
            "sentence1": "A man runs.",
            "sentence2": "A man jogs.",
            "label": score,
            "idx": number,
        }
        for number, score in enumerate(
            (0.0, 0.1, 0.3, 0.5, 1.7, 2.5, 2.7, 3.3, 3.75, 4.9, 5.0)
        )
    ],
    "glue/mnli": _MNLI,
    "glue/qnli": [
        {
            "question": "Where is it?",
            "sentence": "It is in Rome.",
            "label": 0,
            "idx": 8,
        },
        {"question": "When?", "sentence": "Rome is old.", "label": 1, "idx": 9},
        {"question": "Who?", "sentence": "Nobody.", "label": -1, "idx": 0},
    ],
    "glue/rte": _PAIRS,
    "glue/wnli": _PAIRS,
    "super_glue/boolq": [
        {
            "question": "is ice cold",
            "passage": "Ice -- Ice is frozen water.",
            "label": 1,
            "idx": 0,
        },
        {"question": "is ice hot", "passage": "Ice.", "label": 0, "idx": 1},
        {"question": "is it", "passage": "Ice.", "label": -1, "idx": 0},
    ],
    "super_glue/cb": [
        {
            "premise": "He thought it rained.",
            "hypothesis": "It rained.",
            "label": label,
            "idx": 20 + label,
        }
        for label in (0, 1, 2, -1)
    ],
    "super_glue/copa": [
        {
            "premise": "The cup fell.",
            "choice1": "It broke.",
            "choice2": "It flew.",
            "question": "effect",
            "label": 0,
            "idx": 4,
        },
        {
            "premise": "The cup fell.",
            "choice1": "It sang.",
            "choice2": "I slipped.",
            "question": "cause",
            "label": 1,
            "idx": 5,
        },
        {
            "premise": "Rain.",
            "choice1": "Sun.",
            "choice2": "Clouds.",
            "question": "cause",
            "label": -1,
            "idx": 6,
        },
    ],
    "super_glue/multirc": [
        {
            "paragraph": "<b>Sent 1: </b>Ann ran.<br><b>Sent 2: </b>Bo sat.<br>",
            "question": "Who ran?",
            "answer": answer,
            "label": label,
            "idx": {"paragraph": 2, "question": 10, "answer": number},
        }
        for number, (answer, label) in enumerate(
            (("Ann", 1), ("Bo", 0), ("Nobody", -1)), 40
        )
    ],
    "super_glue/record": [
        {
            "passage": _PASSAGE,
            "query": "The lamps of @placeholder shine.",
            "entities": ["Ada Stone", "Leeds", "Stone"],
            "answers": ["Ada Stone", "Stone"],
            "idx": {"passage": 6, "query": 60},
        },
        {
            "passage": 'She said "stop!"\n@highlight\nAnd left',
            "query": "@placeholder left.",
            "entities": ["She", "Max"],
            "answers": ["She"],
            "idx": {"passage": 7, "query": 61},
        },
        {
            "passage": "Nothing.",
            "query": "@placeholder?",
            "entities": ["Nothing"],
            "answers": [],
            "idx": {"passage": 8, "query": 62},
        },
    ],
    "super_glue/rte": _MNLI[:1] + [{**_MNLI[1], "label": 1}, _MNLI[2]],
    "super_glue/wic": [
        {
            "word": "bank",
            "sentence1": "The bank of the river.",
            "sentence2": "A bank lends.",
            "start1": 4,
            "end1": 8,
            "start2": 2,
            "end2": 6,
            "label": label,
            "idx": number,
        }
        for number, label in enumerate((0, 1, -1))
    ],
    "super_glue/wsc.fixed": [
        {**_WSC, "label": 1, "idx": 0},
        {
            **_WSC,
            "span1_text": "Mitchell",
            "span1_index": 0,
            "label": 0,
            "idx": 1,
        },
        # One of two records of the benchmark whose index is off.
        {
            "text": "When they had eventually calmed down a bit , and had "
            "gotten home, Mr. Farley put the magic pebble in an iron safe . Some "
            "day they might want to use it , but really for now, what more could "
            "they wish for?",
            "span1_text": "the magic pebble",
            "span1_index": 15,
            "span2_text": "it",
            "span2_index": 27,
            "label": 1,
            "idx": 2,
        },
        # The other: its pronoun is glued to punctuation.
        {
            "text": "The boy continued to whip the pony , and eventually the "
            'pony threw him over. John laughed out quite loud. "Good for him," '
            "he said. ",
            "span1_text": "The boy",
            "span1_index": 0,
            "span2_text": "him",
            "span2_index": 21,
            "label": 0,
            "idx": 3,
        },
        {**_WSC, "label": -1, "idx": 4},
    ],
    "squad/v1.1": [
        {
            "id": "q1",
            "title": "Game",
            "context": "The Bears won 24-10 (at home).\nIt rained.",
            "question": "How did the Bears win?",
            "answers": {
                "text": ["24-10", "24-10 (at home)"],
                "answer_start": [14, 14],
            },
        },
        {
            "id": "q2",
            "title": "Game",
            "context": "Dr. O'Neil's team lost.",
            "question": "Whose  team?",
            "answers": {"text": ["Dr. O'Neil's"], "answer_start": [0]},
        },
    ],
    "cnn_dailymail": [
        {
            "id": "aa",
            "article": "(CNN) A dog came home. It was late.",
            "highlights": "Dog came home .\nIt was late .",
            "publisher": "cnn",
        },
        {
            "id": "bb",
            "article": "Prices rose. Wages did not.",
            "highlights": "Prices rose .",
            "publisher": "dailymail",
        },
    ],
    "imdb_reviews/plain_text": [
        {"text": "A fine film.<br /><br />See it!", "label": 1},
        {"text": "Poor.", "label": 0},
        {"text": "So so.", "label": -1},
    ],
    "cosmos_qa": [
        {
            "context": "We packed early.",
            "question": "Why?",
            "answer0": "To sleep.",
            "answer1": "To leave.",
            "answer2": "To eat.",
            "answer3": "None of the above.",
            "label": label,
            "id": f"c{label}",
        }
        for label in (1, 3, -1)
    ],
    "hellaswag": [
        {
            "context": "A man lifts a bar. He",
            "endings": ["drops it.", "eats it.", "sings.", "swims."],
            "activity_label": "Lifting",
            "label": label,
            "split_type": "indomain",
            "source_id": "activitynet~v_1",
        }
        for label in (0, 2, -1)
    ],
    "piqa": [
        {
            "goal": "Cool a drink.",
            "sol1": "Add ice.",
            "sol2": "Add fire.",
            "label": label,
            "id": "",
        }
        for label in (0, 1)
    ],
    "winogrande": [
        {
            "sentence": "The cup fit the box because _ was small.",
            "option1": "cup",
            "option2": "box",
            "label": label,
        }
        for label in (0, 1, -1)
    ],
}

# Files of the authors: path below the data folder -> text.
FILES = {
    "rainbow/anli/train.jsonl": '{"story_id": "s", "obs1": "It was dark.", "obs2": "We saw.",'
    ' "hyp1": "We lit a lamp.", "hyp2": "We slept."}\n'
    '{"story_id": "t", "obs1": "Dawn.", "obs2": "Dusk.",'
    ' "hyp1": "A night.", "hyp2": "A day."}\n',
    "rainbow/anli/train-labels.lst": "1\n2\n",
    "rainbow/anli/alphanli-test/anli.jsonl": '{"obs1": "a", "obs2": "b", "hyp1": "c", "hyp2": "d"}\n',
    "rainbow/socialiqa/socialiqa-train-dev/train.jsonl": '{"context": "Jo fell.", "question": "How is Jo?",'
    ' "answerA": "glad", "answerB": "hurt", "answerC": "rich"}\n',
    "rainbow/socialiqa/socialiqa-train-dev/train-labels.lst": "2\n",
    "bbh/navigate.json": '{"canary": "", "examples": [{"input": "Do you return?\\nOptions:'
    '\\n- Yes\\n- No", "target": "No"}, {"input": "And now?\\nOptions:'
    '\\n- Yes\\n- No", "target": "Yes"}]}',
    "bbh/snarks.json": '{"canary": "", "examples": [{"input": "Which is sarcastic?\\n'
    'Options:\\n(A) Fine\\n(B) So fine - really", "target": "(B)"}]}',
    "bbh/web_of_lies.json": '{"canary": "", "examples": [{"input": "Does Al tell the truth?",'
    ' "target": "Yes"}]}',
    "mmlu/dev/anatomy_dev.csv": "Which bone is in the leg?,Ulna,Femur,Rib,"
    "Jaw,B\nWhat beats?,Heart,Hair,Nail,Skin,A\n",
    "mmlu/test/anatomy_test.csv": '"Where is the ""anvil"", a bone?",Ear,"Arm, upper",Leg,Back,A\n',
    "mmlu/test/us_foreign_policy_test.csv": "Who?,a,b,c,d,D\nWhy?,a,b,c,d,C\n",
}

# Tasks that are tested on real data: published sizes of train, validation and
# test, and of each label word in validation, where they are known.
REAL = {
    "cola": ((8551, 1043, 1063), (322, 721)),
    "sst2": ((67349, 872, 1821), (428, 444)),
    "mrpc": ((3668, 408, 1725), (129, 279)),
    "stsb": ((5749, 1500, 1379), ()),
    "rte": ((2490, 277, 3000), (146, 131)),
    "wnli": ((635, 71, 146), (40, 31)),
    "cb": ((250, 56, 250), (23, 28, 5)),
    "copa": ((400, 100, 500), (55, 45)),
    # Nine tenths of the training split, and the tenth left.
    "imdb": ((22500, 2500, 25000), ()),
}

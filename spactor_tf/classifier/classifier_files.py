"""Opens a classifier that `TextClassifier.save` wrote."""

from __future__ import annotations

import os
import pathlib
import zipfile

import numpy as np

from runkit import InputError, read_json
from spactor_tf.classifier.classifier import HEAD, TextClassifier
from spactor_tf.inference.pretrained import load_pretrained


def load_classifier(path: str | os.PathLike) -> TextClassifier:
    """Opens what `TextClassifier.save` wrote.

    Raises:
        InputError: no classifier there, or a damaged one.
    """
    folder = pathlib.Path(path)
    facts = read_json(folder / "labels.json")
    try:
        with np.load(folder / HEAD, allow_pickle=False) as stored:
            head = [stored["kernel"], stored["bias"]]
        classes = facts.pop("classes")
        pretrained = load_pretrained(folder / "preset")
        classifier = TextClassifier(pretrained, classes, **facts)
        classifier.set_head(*head)
    except InputError:
        raise
    except (
        AttributeError, EOFError, KeyError, OSError, TypeError, ValueError,
        zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise InputError(
            f"is not a whole classifier ({error})", where=str(folder)
        ) from None
    return classifier

"""What the slow tests throw at a door: thousands of inputs, always the same."""

import contextlib
import copy
import os
import pathlib

import hypothesis
from hypothesis import strategies as st

_MOST = int(os.environ.get("FUZZ_EXAMPLES", "2000"))  # 100: a first look.


def inputs(count):
    """Settings for so many inputs, which are the same in every run."""
    return hypothesis.settings(
        max_examples=min(count, _MOST),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        # Without shrinking: a door may take a second.
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        report_multiple_bugs=False,
    )


many = inputs(2000)


def json_values(keys=("text", "label", "a.b", "x")):
    """Any JSON, with objects that have some of the keys."""
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(list(keys)), inner)
        ),
        max_leaves=6,
    )


@st.composite
def changed_json(draw, value):
    """`value` with one node replaced, left out or doubled."""
    value = copy.deepcopy(value)
    parent, key = None, None
    node = value
    while isinstance(node, dict | list) and node:
        if parent is not None and draw(st.integers(0, 4)) == 0:
            break
        keys = list(node) if isinstance(node, dict) else range(len(node))
        parent, key = node, draw(st.sampled_from(keys))
        node = parent[key]
    if parent is None:
        return draw(json_values())
    near = [-1, 0, 1, 2, 2**31, 2**63, 1e300, "", "none", [], {}, None, True]
    case = draw(st.sampled_from(["near", "any", "gone", "twice", "other key"]))
    if case == "near":
        parent[key] = draw(st.sampled_from(near))
    elif case == "any":
        parent[key] = draw(json_values())
    elif case == "gone":
        del parent[key]
    elif isinstance(parent, list):
        parent.append(node)
    elif case == "twice":
        parent[key] = [node, node]
    else:
        parent[f"{key}_"] = parent.pop(key)
    return value


@st.composite
def damaged_bytes(draw, data):
    """`data` cut, or with a few bytes flipped, inserted or left out."""
    place = draw(st.integers(0, max(0, len(data) - 1)))
    noise = draw(st.binary(min_size=1, max_size=4))
    case = draw(st.sampled_from(["flip", "flip", "cut", "insert", "less"]))
    if case == "cut":
        return data[:place]
    if case == "insert":
        return data[:place] + noise + data[place:]
    if case == "less":
        return data[:place] + data[place + len(noise) :]
    return data[:place] + noise + data[place + len(noise) :]


def flipped_bit(data, place):
    """`data` with one bit changed; `place` is any number."""
    changed = bytearray(data)
    changed[place // 8 % len(data)] ^= 1 << place % 8
    return bytes(changed)


@contextlib.contextmanager
def replaced(path, data):
    """The file holds `data` for a while."""
    path = pathlib.Path(path)
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(whole)

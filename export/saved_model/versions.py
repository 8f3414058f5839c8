"""Versions of a served model: directories with integer names."""

from __future__ import annotations

import pathlib
import re


def next_version(output_dir: pathlib.Path) -> int:
    """Returns one more than the newest version; 1 for none."""
    return max(versions(output_dir), default=0) + 1


def versions(output_dir: pathlib.Path) -> list[int]:
    """Returns the versions in a base path, ascending, as servers read them."""
    if not output_dir.is_dir():
        return []
    names = (path.name for path in output_dir.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"\d+", name))

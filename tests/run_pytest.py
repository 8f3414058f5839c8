"""Runs one test file under Bazel exactly as `make test` runs it.

Bazel's variables are honored: results go to $XML_OUTPUT_FILE, scratch files
to $TEST_TMPDIR, and --test_filter becomes pytest's -k.
"""

import os
import sys

import pytest


class _Deselected:
    """Counts tests left out by a marker: not the same as a file without any."""

    count = 0

    def pytest_deselected(self, items):
        self.count += len(items)


def main(argv: list[str]) -> int:
    """Returns pytest's exit code for the files in `argv`.

    A file whose tests are all slow passes; one without any test does not.
    """
    scratch = os.environ.get("TEST_TMPDIR")
    if scratch:
        # Libraries cache under HOME, which Bazel leaves unset.
        os.environ["HOME"] = scratch
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = f"{scratch}/hypothesis"
    options = ["-v", "-p", "no:cacheprovider"]
    if xml := os.environ.get("XML_OUTPUT_FILE"):
        options.append(f"--junitxml={xml}")
    if wanted := os.environ.get("TESTBRIDGE_TEST_ONLY"):
        options += ["-k", wanted]
    deselected = _Deselected()
    code = pytest.main([*options, *argv], plugins=[deselected])
    if code == pytest.ExitCode.NO_TESTS_COLLECTED and deselected.count:
        return 0
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The built-in corpus: see `runkit.datasets.docstrings`."""

from runkit.datasets.docstrings import iter_docstrings as iter_docstrings

"""Lets pytest run absltest classes: nobody else parses absl's flags there."""

from absl import flags

if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()


def pytest_collection_modifyitems(items):
    """Puts whole pages and programs first: at the end one worker would wait."""
    items.sort(key=lambda item: "repository" not in item.path.parts)

"""Lets pytest run absltest classes: nobody else parses absl's flags there."""

from absl import flags

if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()


# Whole pages and programs, then whole runs of training.
LONGEST = ("repository", "training", "experiments")


def pytest_collection_modifyitems(items):
    """Puts the longest files first: at the end one worker would wait."""

    def place(item):
        folders = [name for name in LONGEST if name in item.path.parts]
        return LONGEST.index(folders[0]) if folders else len(LONGEST)

    items.sort(key=place)

"""Lets pytest run absltest classes: nobody else parses absl's flags there."""

from absl import flags

if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()

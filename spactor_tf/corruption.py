"""Span corruption under its public name; the code is in `data.corruption`."""

from spactor_tf.data.corruption import masked_lm_positions, span_corrupt

__all__ = ["masked_lm_positions", "span_corrupt"]

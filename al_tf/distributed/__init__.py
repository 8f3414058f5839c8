"""Exact clustering and selection past one machine: the same answer.

engine            where stages run: this process, or Ray
options           the flags that ask for one
stages            pure functions from parts of a pool to parts
fleet, asking, rounds
                  what the driver does with all parts
costs             what stages cost, progress, the page about a run
cluster           from shards to clusters, with its state on disk
selection         from margins in shards to a batch
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

from .examples import UNKNOWN as UNKNOWN
from .examples import Examples as Examples
from .examples import make_examples as make_examples
from .held_out import open_pool_and_test as open_pool_and_test
from .pool import KINDS as KINDS
from .pool import open_pool as open_pool

from .preparation import EmptySplit as EmptySplit
from .preparation import is_held_out as is_held_out
from .preparation import prepare as prepare
from .store import StoreLayout as StoreLayout
from .store import TokenStore as TokenStore
from .windows import Turns as Turns
from .windows import windows_in_order as windows_in_order

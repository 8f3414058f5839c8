from .find import KEEP as KEEP
from .find import Duplicates as Duplicates
from .find import find_duplicates as find_duplicates

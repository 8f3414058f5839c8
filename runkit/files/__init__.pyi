from .atomic import atomic_directory as atomic_directory
from .atomic import atomic_write as atomic_write
from .atomic import check_folder as check_folder
from .atomic import remove_leftovers as remove_leftovers
from .formats import read_json as read_json
from .formats import write_json as write_json
from .formats import write_npy as write_npy
from .locks import lock_directory as lock_directory

from .table import FORMATS as FORMATS
from .table import Format as Format
from .write import export_format as export_format

from .answers import Answer as Answer
from .answers import Asked as Asked
from .answers import Given as Given
from .answers import resolve as resolve
from .readers import read_answers as read_answers

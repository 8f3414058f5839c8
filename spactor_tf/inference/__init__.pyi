from .decoding import CachedDecoder as CachedDecoder
from .filling import GapFiller as GapFiller
from .pretrained import Pretrained as Pretrained
from .pretrained import load_pretrained as load_pretrained
from .pretrained import save_hugging_face as save_hugging_face
from .pretrained import save_pretrained as save_pretrained

from .graph_session import GraphSession as GraphSession
from .library import TensorFlowError as TensorFlowError
from .library import load_op_library as load_op_library

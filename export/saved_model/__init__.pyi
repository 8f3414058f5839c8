from .neighbor_index import export_neighbor_index as export_neighbor_index
from .session import SessionModel as SessionModel
from .verify import Verification as Verification
from .verify import VerificationError as VerificationError
from .verify import verify_saved_model as verify_saved_model
from .write import export_saved_model as export_saved_model

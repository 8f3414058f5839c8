from .errors import ServiceError as ServiceError
from .options import ServerOptions as ServerOptions
from .server import DevServer as DevServer
from .service import DevService as DevService

from .options import ServerOptions as ServerOptions
from .server import DevServer as DevServer
from .service import DevService as DevService
from .service import ServiceError as ServiceError

"""Serves one bare repository over HTTP, at the server's root, with dulwich: a Git of another make.

    git_server.py REPOSITORY PORT
"""

import sys
from wsgiref.simple_server import make_server

from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import WSGIRequestHandlerLogger, WSGIServerLogger, make_wsgi_chain

repository, port = sys.argv[1], int(sys.argv[2])
application = make_wsgi_chain(DictBackend({"/": Repo(repository)}))
make_server(
    "127.0.0.1",
    port,
    application,
    handler_class=WSGIRequestHandlerLogger,
    server_class=WSGIServerLogger,
).serve_forever()

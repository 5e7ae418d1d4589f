"""The library's web application, which also serves adjourn's functions."""

from django.core.wsgi import get_wsgi_application

import adjourn.log
import adjourn.web
from library.worker import app

adjourn.log.configure()
application = adjourn.web.wsgi(app, get_wsgi_application())

"""Everything that can be triggered."""

from chalice import Chalice

from chalicelib.entrypoints.admin import operations
from chalicelib.entrypoints.http.applications import applications
from chalicelib.entrypoints.http.chats import chats
from chalicelib.entrypoints.http.documentation import description
from chalicelib.entrypoints.http.health import health
from chalicelib.entrypoints.http.messages import changes, messages
from chalicelib.entrypoints.http.problems import framework_errors
from chalicelib.entrypoints.http.read_markers import readers
from chalicelib.entrypoints.http.search import search
from chalicelib.entrypoints.schedules import schedules
from chalicelib.entrypoints.workers import workers

app = Chalice(app_name="ordinal")

app.register_blueprint(applications)
app.register_blueprint(chats)
app.register_blueprint(messages)
app.register_blueprint(changes)
app.register_blueprint(readers)
app.register_blueprint(search)
app.register_blueprint(health)
app.register_blueprint(description)
app.register_blueprint(framework_errors)
app.register_blueprint(workers)
app.register_blueprint(schedules)
app.register_blueprint(operations)

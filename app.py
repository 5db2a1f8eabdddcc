"""Everything that can be triggered."""

from chalice import Chalice

from chalicelib.entrypoints import admin, schedules, workers
from chalicelib.entrypoints.http import (
    applications,
    chats,
    documentation,
    health,
    messages,
    problems,
    read_markers,
    search,
)

app = Chalice(app_name="ordinal")

app.register_blueprint(applications.blueprint)
app.register_blueprint(chats.blueprint)
app.register_blueprint(messages.blueprint)
app.register_blueprint(read_markers.blueprint)
app.register_blueprint(search.blueprint)
app.register_blueprint(health.blueprint)
app.register_blueprint(documentation.blueprint)
app.register_blueprint(problems.blueprint)
app.register_blueprint(workers.blueprint)
app.register_blueprint(schedules.blueprint)
app.register_blueprint(admin.blueprint)

"""How far the tasks of the schedule have come on their rounds over all applications."""

import msgspec

from chalicelib.adapters.mysql.database import Database
from chalicelib.domain.models import RoundState

GET = "SELECT state FROM task_rounds WHERE task = %s"
SAVE = """
INSERT INTO task_rounds (task, state) VALUES (%s, %s)
ON DUPLICATE KEY UPDATE state = VALUES(state)
"""


class MySqlRounds:
    """One row for each task."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_round(self, task: str) -> RoundState:
        rows = self._database.read(GET, (task,))
        return msgspec.json.decode(rows[0][0], type=RoundState) if rows else RoundState()

    def save_round(self, task: str, state: RoundState) -> None:
        values = (task, msgspec.json.encode(state).decode())
        self._database.transact(lambda cursor: cursor.execute(SAVE, values))

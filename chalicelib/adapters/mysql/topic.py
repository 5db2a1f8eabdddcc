"""What the topics of the store share: the database."""

from chalicelib.adapters.mysql.connection import Database


class Topic:
    """A part of the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

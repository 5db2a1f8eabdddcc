"""Loads the recordings in this folder, and plays them on a database."""

from importlib.resources import files
from pathlib import Path

import msgspec

from chalicelib.adapters.mysql.database import Database
from chalicelib.adapters.mysql.migrate import VERSIONS_TABLE, statements

FOLDER = Path(__file__).parent
MIGRATIONS = {
    int(entry.name.split("_")[0]): entry.name
    for entry in files("chalicelib.adapters.mysql").joinpath("migrations").iterdir()
    if entry.name.endswith(".sql")
}
_HEAD, _SCENE = "-- Migrations of the release: ", "-- After the migrations of later releases\n"


class Recording(msgspec.Struct, frozen=True):
    """The statements of a release in both acts, and which migrations it had."""

    has: frozenset[int]
    before: list[str]
    after: list[str]

    def text(self) -> str:
        parts = [";\n".join([*part, ""]) for part in (self.before, self.after)]
        return f"{_HEAD}{' '.join(map(str, sorted(self.has)))}\n{_SCENE.join(parts)}"


def recording(path: Path) -> Recording:
    head, _, text = path.read_text().partition("\n")
    before, after = map(statements, text.split(_SCENE))
    return Recording(frozenset(map(int, head.removeprefix(_HEAD).split())), before, after)


RECORDINGS = {path.stem: recording(path) for path in sorted(FOLDER.glob("*.sql"))}


def play(database: Database, statements: list[str]) -> None:
    """Run each statement in its own transaction. Nobody else uses the database."""
    for statement in statements:
        database.transact(lambda cursor, statement=statement: cursor.execute(statement))


def script(version: int) -> list[str]:
    """The statements of a migration."""
    folder = files("chalicelib.adapters.mysql").joinpath("migrations")
    return statements(folder.joinpath(MIGRATIONS[version]).read_text("utf-8"))


def migrate_as(database: Database, has: frozenset[int]) -> None:
    """The tables that a release with only these migrations has."""
    play(database, [VERSIONS_TABLE])
    for version in sorted(has):
        note = f"INSERT INTO schema_migrations VALUES ({version}, '{MIGRATIONS[version]}', NOW(3))"
        play(database, [*script(version), note])

"""Get the jars named in a lock file into a folder: `fetch_jars.py LOCK FOLDER`.

Runs in the environment of the tools, where jgo is. Each jar must have the SHA-256 that the lock
file states.

`fetch_jars.py --lock GROUP:ARTIFACT:VERSION…` writes a new lock file to standard output.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jgo  # type: ignore[import-not-found]  # it is in the tools' environment only

PARALLEL_DOWNLOADS = 8
ATTEMPTS = 4


def fetch(coordinate: str, cache: Path) -> Path:
    """Download one jar; tries again, since a registry may refuse a burst of requests."""
    group, artifact, version = coordinate.split(":")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            context = jgo.MavenContext(
                repo_cache=cache, remote_repos={"central": jgo.MAVEN_CENTRAL_URL}
            )
            jar = context.project(group, artifact).at_version(version).artifact("", "jar")
            return Path(jar.resolve())
        except Exception as error:  # jgo has no error of its own for a failed download
            if attempt == ATTEMPTS:
                raise SystemExit(f"{coordinate} could not be downloaded: {error}") from error
            time.sleep(attempt)
    raise AssertionError


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install(lock: Path, folder: Path) -> None:
    """Fill the folder with the jars of the lock file."""
    lines = [line.split() for line in lock.read_text().splitlines() if line[:1] not in {"#", ""}]
    wanted: dict[str, str] = dict(lines)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder) as cache,
        ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool,
    ):
        fetched = pool.map(lambda coordinate: fetch(coordinate, Path(cache)), wanted)
        for (coordinate, sha), jar in zip(wanted.items(), fetched, strict=True):
            if digest(jar) != sha:
                raise SystemExit(f"{coordinate} is not the file that {lock.name} names.")
            shutil.move(jar, folder / jar.name)


def print_lock(coordinates: list[str]) -> None:
    """Resolve coordinates with all they need, and print the lock file."""
    print("# coordinate, SHA-256; written by fetch_jars.py --lock " + " ".join(coordinates))
    with tempfile.TemporaryDirectory() as cache:
        for coordinate in coordinates:
            # Jars with a classifier hold native code for one kind of machine; nothing here needs it.
            for jar in (one for one in jgo.resolve(coordinate) if not one.classifier):
                name = f"{jar.groupId}:{jar.artifactId}:{jar.version}"
                print(name, digest(fetch(name, Path(cache))))


if __name__ == "__main__":
    if sys.argv[1] == "--lock":
        print_lock(sys.argv[2:])
    else:
        install(Path(sys.argv[1]), Path(sys.argv[2]))

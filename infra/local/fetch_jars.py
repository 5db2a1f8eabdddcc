"""Downloads the jars of a lock file into a folder: `fetch_jars.py LOCK FOLDER`.

It runs in the environment `var/tools/tools`. Each jar must have the SHA-256 of the lock file.
`fetch_jars.py --lock GROUP:ARTIFACT:VERSION…` prints a new lock file.
"""

import hashlib
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jgo  # type: ignore[import-not-found]  # only in `var/tools/tools`
import requests

PARALLEL_DOWNLOADS = 8
ATTEMPTS = 4
TIMEOUT_SECONDS = 60
_thread = threading.local()


def fetch(coordinate: str, folder: Path) -> Path:
    """Download one jar. It tries several times, since a registry can refuse a burst of requests.

    jgo could download it as well, but takes fifteen times as long: it reads metadata for each jar.
    """
    group, artifact, version = coordinate.split(":")
    name = f"{artifact}-{version}.jar"
    url = f"{jgo.MAVEN_CENTRAL_URL}/{group.replace('.', '/')}/{artifact}/{version}/{name}"
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _session().get(url, timeout=TIMEOUT_SECONDS, stream=True) as response:
                response.raise_for_status()
                with (folder / name).open("wb") as file:
                    file.writelines(response.iter_content(1 << 20))
            return folder / name
        except requests.RequestException as error:
            if attempt == ATTEMPTS:
                raise SystemExit(f"{coordinate} could not be downloaded: {error}") from error
            time.sleep(attempt)
    raise AssertionError


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install(lock: Path, folder: Path) -> None:
    """Download the jars of the lock file into the folder."""
    lines = [line.split() for line in lock.read_text().splitlines() if line[:1] not in {"#", ""}]
    hashes: dict[str, str] = dict(lines)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        jars = pool.map(lambda coordinate: fetch(coordinate, folder), hashes)
        for (coordinate, sha), jar in zip(hashes.items(), jars, strict=True):
            if digest(jar) != sha:
                raise SystemExit(f"{coordinate} has another SHA-256 than in {lock.name}.")


def print_lock(coordinates: list[str]) -> None:
    """Print a lock file: the coordinates with all their dependencies."""
    print("# coordinate, SHA-256; written by fetch_jars.py --lock " + " ".join(coordinates))
    with tempfile.TemporaryDirectory() as folder:
        for coordinate in coordinates:
            # A jar with a classifier contains native code for one kind of machine. Nothing here uses it.
            for jar in (jar for jar in jgo.resolve(coordinate) if not jar.classifier):
                name = f"{jar.groupId}:{jar.artifactId}:{jar.version}"
                print(name, digest(fetch(name, Path(folder))))


def _session() -> requests.Session:
    """A session for each thread, which keeps its connection open."""
    if not hasattr(_thread, "session"):
        _thread.session = requests.Session()
        # requests itself reads only REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.
        _thread.session.verify = os.environ.get("SSL_CERT_FILE") or True
    session: requests.Session = _thread.session
    return session


if __name__ == "__main__":
    if sys.argv[1] == "--lock":
        print_lock(sys.argv[2:])
    else:
        install(Path(sys.argv[1]), Path(sys.argv[2]))

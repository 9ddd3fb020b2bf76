"""Which servers live: each holds a lock on a file of its own, and the system releases it however the process ends."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

import filelock


class Server:
    """This server's id and its lock. Several servers may share one store; each run that is active belongs to one."""

    def __init__(self, folder: Path) -> None:
        self.id = secrets.token_hex(6)  # never used again, so a run cannot be taken for that of a later server
        self.folder = folder
        self._lock = _lock(self._path(self.id))

    def start(self) -> None:
        """Hold the lock. On a disk that cannot be written no server can, and the store reports that."""
        with contextlib.suppress(OSError, NotImplementedError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()

    def stop(self) -> None:
        """Release the lock: from now on another server may adopt this one's runs."""
        self._lock.release()
        with contextlib.suppress(OSError):
            self._path(self.id).unlink(missing_ok=True)

    def is_dead(self, server: str) -> bool:
        """Whether nobody holds that server's lock. A lock that cannot be tested counts as held."""
        path = self._path(server)
        if not server or not path.exists():
            return True
        lock = _lock(path)
        try:
            lock.acquire()
        except (OSError, NotImplementedError):  # held: filelock.Timeout is an OSError
            return False
        lock.release()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return True

    def _path(self, server: str) -> Path:
        return self.folder / f"{server}.lock"


def _lock(path: Path) -> filelock.FileLock:
    return filelock.FileLock(path, timeout=0, thread_local=False)

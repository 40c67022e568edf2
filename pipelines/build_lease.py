"""One build at a time in a directory of an object store, which knows no locks: a lease that its holder renews.

The lease is an object with a random token and a count that the holder raises every few seconds. Whether its holder
still lives is judged by whether it changes while a newcomer watches, by the newcomer's own clock: what two machines
take the time to be is never compared. A renewal is a look and then a write: a holder that stands still between the
two while another takes over writes over that one's lease, and then it is the other that finds its own gone.

Workers of other processes do not look at it: what they make is let in for as long as the build's tasks are there
(`pipelines.tasks`), and a newcomer deletes those.
"""

from __future__ import annotations

import errno
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from schemas.errors import DataError, StoreFailedError, UsageError
from schemas.store import Store

LEASE_FILE = ".lease"
RENEW_S = 2.0
# A client may wait for a minute, and ask again for more. The holder's requests are given up before: two in a row
# may be, and a third renews it within the watch.
_ANSWER_S = 6.0
WATCH_S = 20.0
# Within it, whoever wrote at the same moment, or renewed while it was taken over, has written.
SETTLE_S = 3.0
# One that is left there costs the next build a watch, and whoever waits for this one's end nothing.
_LEAVE_S = 10.0
# A store that is at fault, or has two creating at once, is asked so often.
_CREATIONS = 5
_REFUSALS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EINVAL})
# Where a condition that is refused once is known to hold for two that ask at the same moment.
_CONDITIONAL = frozenset({"s3", "s3a", "gs", "gcs"})
_in_this_process = threading.Lock()


@contextmanager
def leased(out: Store, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lease of a directory while the block runs; whatever is written there meanwhile asks for it first.

    Args:
        say: tells a person that another build may be at work, and is watched.

    Raises:
        UsageError: another build holds it.
        DataError: another build took it over, this one having stood still for long, or it was deleted.
    """
    lease = _Lease(out, say)
    try:
        try:
            lease.take()
            lease.keep()
            with out.guarded(lease.require_held_now, lease.require_held):
                yield
        finally:
            lease.end()
    except Exception as error:
        if lease.lost and not isinstance(error, LostLeaseError):
            raise lease.loss() from error
        raise
    lease.require_held()


class LostLeaseError(DataError):
    """The directory is not this build's any more."""


class _Lease:
    """The lease as one build sees it."""

    def __init__(self, out: Store, say: Callable[[str], None]) -> None:
        self._out, self._say = out, say
        self._token = secrets.token_hex(16)
        self._count = 0
        self._written = self._held = False
        self._seen = 0.0
        self._why_left = ""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = False

    def take(self) -> None:
        """Write the lease where there is none, or none that is renewed.

        Raises:
            UsageError: another build holds it, or was faster.
            StoreFailedError: the store failed for long.
        """
        while True:
            found = self._read()
            if found is None:
                certain = self._create()
            else:
                if not self._stands_still(found):
                    continue
                certain = False
                self._write()
            if not certain:
                time.sleep(SETTLE_S)
            asked = time.monotonic()
            found = self._read()
            if self._is_ours(found):
                self._held, self._seen = True, asked
                return
            if found is not None and not certain:
                raise self._busy()

    def keep(self) -> None:
        """Renew it from now on, in a thread."""
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def require_held(self) -> None:
        """Raise when it was found to be lost.

        Raises:
            LostLeaseError: it was.
        """
        if self.lost:
            raise self.loss()

    def require_held_now(self) -> None:
        """The same; a process that stood still looks before it trusts what it saw last.

        Raises:
            LostLeaseError: it is another's, or gone.
        """
        if time.monotonic() - self._seen > WATCH_S / 2:
            with suppress(Exception):  # what is to be written now goes to the same store
                self._look()
        self.require_held()

    def loss(self) -> LostLeaseError:
        """What is told of it."""
        return LostLeaseError(
            f"{self._out.root}: {LEASE_FILE} is not this build's any more: it stood still and another took "
            "the directory over, or the file was deleted; build again when no other is at work"
        )

    def end(self) -> None:
        """Renew it no more, and delete it when it is still this build's; a store that is dead is not waited for."""
        self._ended.set()
        if not self._written:
            return
        leaving = threading.Thread(target=self._leave, name="lease's end", daemon=True)
        leaving.start()
        leaving.join(_LEAVE_S)
        why = "no answer" if leaving.is_alive() else self._why_left
        if why:
            self._say(f"{self._out.root}: {LEASE_FILE} was left there ({why}); it ends by itself")

    def _leave(self) -> None:
        if self._thread is not None:
            self._thread.join()
        if self.lost:
            return
        try:
            if self._is_ours(self._read()):
                self._out.remove(LEASE_FILE)
            else:
                self.lost = self._held
        except Exception as error:  # clients have errors of their own kinds; the next build takes it over
            self._why_left = type(error).__name__

    def _create(self) -> bool:
        """Write it where there is none, or leave what another wrote; return whether no two can have done so."""
        self._written = True
        if not self._out.is_shared:
            with _in_this_process, suppress(FileExistsError):
                self._out.create(LEASE_FILE, self._content())
            return True
        try:
            self._create_at_last()
            self._create_at_last()  # some take the condition and do not look at it
        except FileExistsError:
            return self._out.root.partition("://")[0] in _CONDITIONAL
        except (OSError, NotImplementedError, TypeError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in _REFUSALS:
                raise
            if self._read() is None:  # a store that knows no conditions
                self._write()
        return False

    def _create_at_last(self) -> None:
        """Write it where there is none. A store that fails may still know conditions: written without one, it might
        take the place of what another wrote, who trusts in them.
        """
        for _ in range(_CREATIONS - 1):
            with suppress(StoreFailedError):
                self._out.create(LEASE_FILE, self._content())
                return
            time.sleep(RENEW_S / 2)
        self._out.create(LEASE_FILE, self._content())

    def _stands_still(self, found: bytes) -> bool:
        """Watch another's lease; return whether it is one that nobody renews, and not one that went.

        Raises:
            UsageError: it is renewed.
        """
        self._say(f"{self._out.root}: another build may be at work here; waiting {WATCH_S:g} s to see")
        began = time.monotonic()
        while True:
            time.sleep(RENEW_S / 2)
            watched = time.monotonic() - began
            now = self._read()
            if now is None:
                return False
            if now != found:
                raise self._busy()
            if watched >= WATCH_S:
                return True

    def _busy(self) -> UsageError:
        return UsageError(f"{self._out.root}: another build is at work here; wait for it to end")

    def _renew(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(max(0.0, began + RENEW_S - time.monotonic())) and not self.lost:
            began = time.monotonic()
            # Whatever a client raises is raised by the build as well, where it matters; this is tried again.
            with suppress(Exception):
                self._look(_ANSWER_S)
                # An answer that took longer than it may was not waited for: this process stood still.
                late = time.monotonic() - began > _ANSWER_S
                if not (self.lost or late or self._ended.is_set()):
                    self._count += 1
                    self._write(_ANSWER_S)

    def _look(self, within_s: float | None = None) -> None:
        asked = time.monotonic()
        if self._is_ours(self._read(within_s)):
            self._seen = asked
        else:
            self.lost = True

    def _read(self, within_s: float | None = None) -> bytes | None:
        try:
            return self._out.read_now(LEASE_FILE, within_s)
        except FileNotFoundError:
            return None

    def _write(self, within_s: float | None = None) -> None:
        self._written = True
        self._out.put(LEASE_FILE, self._content(), within_s)

    def _content(self) -> bytes:
        return json.dumps({"token": self._token, "count": self._count}).encode()

    def _is_ours(self, content: bytes | None) -> bool:
        return content is not None and self._token.encode() in content

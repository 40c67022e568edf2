"""A source that is a folder of named files, as its authors publish them: what most sources here are.

A subclass names its files in `FILES` and reads them with `self.rows(…)`, `self.json(…)` or a reader of its own.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, BinaryIO, ClassVar, cast

from pipelines.cache import Remembered, remembered
from pipelines.progress import beat
from pipelines.sources.base import Source, SourceContext, SourceSettings
from pipelines.sources.csv_rows import CsvRows
from pipelines.sources.file_digests import digest_now, digests_of
from schemas.errors import UsageError, fault_of_file
from schemas.store import Store

csv.field_size_limit(1 << 27)
_BEAT_EVERY = 1 << 14


@dataclass(frozen=True)
class PublishedFile:
    """One file that a source needs.

    Attributes:
        names: where it may lie below `source.path`, the published name first; the first that is there is read.
            Each may also be there with `.gz` behind it. A name may be a folder's.
        about: where it is from, by name, and how large it is; for the error when it is missing.
        required: whether the source cannot do without it.
        unless: the key, named earlier, of a file in whose presence this one is not needed and not looked for.
    """

    names: tuple[str, ...]
    about: str = ""
    required: bool = True
    unless: str = ""


class PublishedFilesSettings(SourceSettings):
    """The keys of `source:` for a folder of published files.

    Attributes:
        path: the folder.
        audio: the folder that `tracks.audio_uri` starts from; without it features cannot be built.
    """

    path: str | None = None
    audio: str | None = None


class PublishedFiles(Source):
    """See the module.

    Attributes:
        FILES: what it reads, by a key of its own. `files` may be overridden where settings decide what is read.
    """

    Settings: ClassVar[type[SourceSettings]] = PublishedFilesSettings
    LOCATION_KEYS = frozenset({"path", "audio"})
    PUBLISHED_IDS = True
    FILES: ClassVar[Mapping[str, PublishedFile]] = {}
    settings: PublishedFilesSettings

    def __init__(self, settings: PublishedFilesSettings, context: SourceContext) -> None:
        super().__init__(settings, context)
        if settings.path is None:
            names = ", ".join(file.names[0] for file in self.files().values() if file.required)
            raise UsageError(f"source.path: is required; set it with --set source.path=DIR (the folder of {names})")
        self.store = context.store(settings.path, "source.path")
        self._found: dict[str, str] = {}
        for key, file in self.files().items():
            if file.unless not in self._found and (path := self._find(file)) is not None:
                self._found[key] = path

    def files(self) -> Mapping[str, PublishedFile]:
        """The files that these settings need."""
        return self.FILES

    def has(self, key: str) -> bool:
        """Whether an optional file is there."""
        return key in self._found

    def path(self, key: str) -> str:
        """Where a file lies, below `source.path`."""
        return self._found[key]

    def where(self, key: str) -> str:
        """How errors name a file."""
        return f"{self.store.root}/{self.path(key)}"

    def inputs(self) -> dict[str, str]:
        return dict(self._digests)

    @cached_property
    def _digests(self) -> dict[str, str]:
        digests = digests_of(self.store, list(self._found.values()), trust_stamps=self.context.trust_stamps)
        return {key: digests[path] for key, path in self._found.items()}

    def remembered(
        self,
        kind: str,
        version: int,
        keys: Iterable[str],
        tables: Collection[str],
        read: Callable[[], Remembered],
        *,
        beside: Any = None,
    ) -> Remembered:
        """What `read` makes of files, which are read again only when one of them is another; see `pipelines.cache`.
        What it made of files that were replaced since their digests were taken is not kept.

        Args:
            version: raised when `read` makes something else of the same files.
            keys: of all files that `read` may look at, whether they are there or not.
            tables: the names of all that `read` gives.
            beside: what else its result depends on (JSON).
        """
        looked_at = {key: [self._found.get(key), self._digests.get(key)] for key in keys}

        def still() -> bool:
            try:
                return all(digest_now(self.store, path) == digest for path, digest in looked_at.values() if path)
            except OSError:
                return False

        return remembered(kind, [version, looked_at, beside], tables, read, still=still)

    def audio(self) -> Store | None:
        return None if self.settings.audio is None else self.context.store(self.settings.audio, "source.audio")

    def expected_tracks(self) -> int | None:
        return None

    @contextmanager
    def opened(self, key: str) -> Iterator[BinaryIO]:
        """The file's bytes, unpacked where its name ends in .gz.

        Raises:
            UsageError: it cannot be opened or unpacked.
        """
        try:
            beat()
            with self.store.open(self.path(key)) as stream:
                packed = self.path(key).endswith(".gz")
                yield cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if packed else stream
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"{self.where(key)}: cannot be read ({fault_of_file(error)})") from error

    def lines(self, key: str) -> Iterator[tuple[int, str]]:
        """The file's lines without their ends, numbered from 1, one at a time. Only line feeds part lines.

        Raises:
            UsageError: a line is not UTF-8.
        """
        with self.opened(key) as stream:
            for number, raw in enumerate(stream, start=1):
                if number % _BEAT_EVERY == 0:
                    beat()
                try:
                    line = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise UsageError(f"{self.where(key)}: line {number}: is not UTF-8 ({error.reason})") from error
                yield number, line.removeprefix("\ufeff" if number == 1 else "").rstrip("\r\n")

    def rows(
        self, key: str, delimiter: str, columns: Sequence[str], *, header: bool = True, quoted: bool = True
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows of a CSV or TSV file as dicts, each with the line that it starts on.

        Args:
            columns: that must be in the header (others may be beside them); without a header, all columns in order.
            quoted: whether `"` quotes a cell.

        Raises:
            UsageError: naming the file and the line: no such header, or a row of another number of cells.
        """
        with self.opened(key) as stream:
            text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
            reader = CsvRows(text, delimiter, quoted=quoted)
            try:
                names = list(columns) if not header else [name.strip() for name in next(reader, [])]
                missing = [name for name in columns if name not in names]
                if missing:
                    raise self.wrong(key, 1, f"no column {', '.join(map(repr, missing))} in the published header")
                for row in reader:
                    if row and len(row) != len(names):
                        raise self.wrong(key, reader.start, f"{len(row)} cells, and {len(names)} are published")
                    if row:
                        yield reader.start, dict(zip(names, row, strict=True))
            except UnicodeDecodeError as error:
                raise self.wrong(key, reader.line_num + 1, f"is not UTF-8 ({error.reason})") from error
            except csv.Error as error:
                raise self.wrong(key, reader.start, str(error)) from error
            finally:
                text.detach()

    def json(self, key: str) -> Any:
        """The file's content as JSON.

        Raises:
            UsageError: it is none.
        """
        with self.opened(key) as stream:
            try:
                return json.loads(stream.read().decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{self.where(key)}: is not valid JSON ({error})") from error

    def wrong(self, key: str, line: int, problem: str) -> UsageError:
        """The error for a line that is not as published."""
        return UsageError(f"{self.where(key)}: line {line}: {problem}")

    def wrong_file(self, key: str, problem: str) -> UsageError:
        """The error for a file that is not as published, in a place that has no line."""
        return UsageError(f"{self.where(key)}: {problem}")

    def number(self, key: str, line: int, column: str, text: str) -> float:
        """A finite number from a cell.

        Raises:
            UsageError: it is none.
        """
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if value - value != 0:  # NaN and the infinities
            raise self.wrong(key, line, f"{column} {text!r} is no number")
        return value

    def _find(self, file: PublishedFile) -> str | None:
        for name in file.names:
            for path in (name, f"{name}.gz"):
                if self.store.exists(path):
                    return path
        if not file.required:
            return None
        instead = self.files().get(file.unless)
        first, *others = [*(instead.names if instead else ()), *file.names]
        also = f" (nor {', '.join(PurePosixPath(n).as_posix() for n in others)})" if others else ""
        about = (instead.about if instead else "") or file.about
        raise UsageError(f"source.path: {self.store.root} has no {first}{also}{f'; {about}' if about else ''}")

"""Dataflow: what must be given before a job is submitted, what a job is asked to be, and what is told of it.

A build is stage after stage, with a receipt after each. The stage's tasks are one Dataflow job; planning, the
search for the split, and writing tables and receipts are done by the process that was started, which waits for
each job.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from schemas.digests import digest_of
from schemas.errors import TrackloreError, UsageError
from schemas.plain import last_line
from schemas.store import Store

if TYPE_CHECKING:
    from pipelines.engine import Engine

LOOK_EVERY_S = 15.0
"""A listing of a bucket costs money, and a job takes minutes."""

_NEEDS = ("google.cloud.dataflow_v1beta3", "google.cloud.storage", "gcsfs")
_IMAGE = (
    "sdk_container_image",
    "worker_harness_container_image",
    "setup_file",
    "requirements_file",
    "extra_packages",
)
# What Beam would write into the job, where everybody who sees the project can read it.
_SECRETS = ("s3_secret_access_key", "s3_session_token", "azure_connection_string")


class NothingRunError(TrackloreError):
    """A graph was made and, as asked for, not run."""

    exit_code = 0


def is_dataflow(runner: str) -> bool:
    """Whether a runner's name, as typed, is Dataflow's."""
    return runner.rpartition(".")[2].lower() == "dataflowrunner"


def require_visible(engine: Engine, store: Store, key: str) -> None:
    """Refuse a folder of this machine that Dataflow's workers are to read.

    Raises:
        UsageError: naming the key.
    """
    if is_dataflow(engine.runner) and store.is_local:
        raise UsageError(f"{key}: Dataflow's workers cannot see {store.root}; copy it to a bucket and give gs://…")


def require_ready(engine: Engine, out: Store, *, dry_run: bool = False) -> None:
    """Refuse what would fail after minutes: flags, packages, credentials or buckets that are missing.

    Args:
        dry_run: only the plan is wanted; nothing is needed but a directory that workers could see.

    Raises:
        UsageError: naming the first of them and the way out.
    """
    if out.is_local:
        told = "Dataflow's workers cannot see this machine's folders; give gs://BUCKET/DIR"
        raise UsageError(f"--out {out.root}: {told}")
    if dry_run:
        return
    if any(_missing(name) for name in _NEEDS):
        raise UsageError("--runner DataflowRunner: Google's clients are not installed; install tracklore[gcp]")
    options = options_of_flags(engine.flags)
    for name in ("project", "region"):
        if not options.get(name):
            raise UsageError(f"--runner DataflowRunner: give --{name}")
    places = [
        (f"--{name}", str(options[name])) for name in ("temp_location", "staging_location") if options.get(name)
    ]
    if not places:
        raise UsageError("--runner DataflowRunner: give --temp_location gs://BUCKET/DIR")
    if not any(options.get(name) for name in _IMAGE):
        told = "give --sdk_container_image, an image made by our Dockerfile"
        raise UsageError(f"--runner DataflowRunner: workers would not have Tracklore; {told}")
    for name in _SECRETS:
        if options.get(name):
            told = "it would be written into the job; give the workers' service account the right instead"
            raise UsageError(f"--{name}: {told}")
    if options.get("no_auth") or options.get("dry_run"):
        return
    _require_credentials()
    for flag, uri in (("--out", out.root), *places):
        if uri.startswith("gs://"):
            _require_bucket(flag, uri, str(options["project"]))


def flags_of(engine: Engine, label: str, out: Store) -> list[str]:
    """Flags for the job of a stage, beside those that were typed.

    A job's name is its stage's in its directory: Dataflow lets no two of a name run at once, so that a build which
    is started again while its job still runs is refused, and does not do the work twice.
    """
    options = options_of_flags(engine.flags)
    named = options.get("job_name") or "tracklore"
    stage = re.sub("[^a-z0-9]+", "-", label.lower()).strip("-")
    flags = [f"--job_name={named}-{stage}-{digest_of(out.root)[:8]}"]
    if not options.get("number_of_worker_harness_threads"):
        # Each core has a process of its own: one task computes while the other waits for the store. Twelve, which
        # are usual, would only take memory.
        flags.append("--number_of_worker_harness_threads=2")
    return flags


def submitted(result: Any, options: Any, label: str) -> str:
    """What a person is told of a job that was submitted.

    Raises:
        NothingRunError: there is no job, as Beam's own flags asked.
    """
    asked = options.get_all_options()
    if asked.get("template_location"):
        raise NothingRunError(f"{label}: its job was written to {asked['template_location']}; nothing was run")
    if asked.get("dry_run"):
        raise NothingRunError(f"{label}: Dataflow could be given its graph; --dry_run: nothing was run")
    job, region, project = result.job_id(), asked["region"], asked["project"]
    return (
        f"{label}: Dataflow job {job} ({asked['job_name']}); it goes on when this process ends: "
        f"https://console.cloud.google.com/dataflow/jobs/{region}/{job}?project={project}"
    )


def options_of_flags(flags: Sequence[str]) -> dict[str, Any]:
    """Every option of Beam's with its value, as the flags say."""
    from apache_beam.options.pipeline_options import PipelineOptions

    found: dict[str, Any] = PipelineOptions(list(flags)).get_all_options()
    return found


def _missing(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        return True


def _require_credentials() -> None:
    import google.auth
    import google.auth.exceptions

    try:
        google.auth.default()
    except google.auth.exceptions.DefaultCredentialsError as error:
        told = "run gcloud auth application-default login, or name a key file in GOOGLE_APPLICATION_CREDENTIALS"
        raise UsageError(f"--runner DataflowRunner: no Google credentials; {told}") from error


def _require_bucket(flag: str, uri: str, project: str) -> None:
    import google.auth.exceptions
    from google.api_core.exceptions import GoogleAPIError, NotFound
    from google.cloud import storage

    bucket = uri.removeprefix("gs://").partition("/")[0]
    try:
        # What workers must be allowed to do, too; the bucket's own description they need not see.
        next(iter(storage.Client(project=project).list_blobs(bucket, max_results=1)), None)
    except NotFound as error:
        raise UsageError(f"{flag} {uri}: there is no bucket {bucket!r}") from error
    except (GoogleAPIError, google.auth.exceptions.GoogleAuthError) as error:
        raise UsageError(f"{flag} {uri}: cannot be read ({last_line(error)})") from error

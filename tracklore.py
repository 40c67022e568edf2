"""The command `tracklore`: composes the verbs of `pipelines` and of `train`, which do not know each other."""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

# Threads that wait for work sleep: spinning, they would take the cores from whatever else runs here. It is read
# once, when PyTorch is loaded, by whichever verb does so first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A worker installs only its part; what it lacks is named by the extra that brings it.
_EXTRA_OF = {
    **dict.fromkeys(("av", "librosa", "soundfile", "soxr"), "features"),
    **dict.fromkeys(("torch", "torchaudio", "lightning_fabric", "safetensors", "tensorboard"), "train"),
    **dict.fromkeys(("tokenizers", "torchmetrics", "transformers", "umap"), "train"),
    **dict.fromkeys(("scenedetect", "yt_dlp"), "video"),
    **dict.fromkeys(("apitools", "gcsfs", "google"), "gcp"),
    **dict.fromkeys(("boto3", "s3fs"), "s3"),
}

# Behind what is told of a command that was interrupted, or whose store failed.
_GOES_ON = "; the same command goes on from here"
_WAYS_ON = {
    "build": _GOES_ON,
    "demo": _GOES_ON,
    "train": "; the same command with --resume goes on from what was saved",
}
_AGAIN = "; run it again"
_way_on = [""]


class _InterruptedError(Exception):
    """A person pressed Ctrl-C."""


# The parser's own, which Typer keeps to itself.
_WrongUse = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])


class _Verbs(TyperGroup):
    """Typer would end at an interrupt without a word, and tell of a wrong option in a box of five lines."""

    def make_context(self, *given: Any, **keys: Any) -> Any:
        try:
            return super().make_context(*given, **keys)
        except _WrongUse as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                raise
            raise _told(error, "tracklore") from None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _InterruptedError from None
        except _WrongUse as error:
            raise _told(error, " ".join(filter(None, (ctx.command_path, ctx.invoked_subcommand)))) from None
        finally:
            _way_on[:] = [_WAYS_ON.get(ctx.invoked_subcommand or "", "")]


def _told(error: typer.BadParameter, verb: str) -> Exception:
    from schemas.errors import UsageError

    called = error.ctx.command_path if error.ctx else verb
    return UsageError(f"{error.format_message().rstrip('.')}; {called} --help tells how it is used")


app = typer.Typer(
    name="tracklore",
    cls=_Verbs,
    help="Build datasets for music-and-language models without leaks, and train on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Settings = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change one key, such as splits.seed=1.")
]
Workers = Annotated[int | None, typer.Option("--workers", help="Threads here, or workers of another engine.")]
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"tracklore {version('tracklore')}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command(context_settings=_PASS_ON)
def build(
    context: typer.Context,
    manifest: Annotated[str, typer.Argument(help="A YAML file, or the bare name of a shipped manifest.")],
    out: Annotated[str, typer.Option("--out", help="The dataset directory: a path, gs://, s3:// or memory://.")],
    only: Annotated[list[str], typer.Option("--only", help="Stages, comma-separated: tags,splits,features.")] = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    check: Annotated[
        bool, typer.Option("--check", help="Read present files again; trust no size or time.")
    ] = False,
    runner: Annotated[str | None, typer.Option("--runner", help="A Beam runner; FnApiRunner by default.")] = None,
    workers: Workers = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, what it takes, and stop.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when a published split leaks, too.")] = False,
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="FILE", help="A splits.parquet whose tracks keep their splits.")
    ] = None,
    track_timeout: Annotated[
        float | None, typer.Option("--track-timeout", metavar="SECONDS", help="For one track's features; 120.")
    ] = None,
    track_memory: Annotated[
        float | None, typer.Option("--track-memory", metavar="GB", help="For one track's features; 2.")
    ] = None,
    stall_timeout: Annotated[
        float | None,
        typer.Option(
            "--stall-timeout",
            metavar="SECONDS",
            help="End when nothing is finished for so long, by workers or by a stage in the build's own process; "
            "1800 here, a day elsewhere.",
        ),
    ] = None,
    memory_limit: Annotated[
        float | None, typer.Option("--memory-limit", metavar="GB", help="For all processes of the build together.")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try tracks again that left by a fault of the machine's.")
    ] = False,
    prices: Annotated[
        str | None, typer.Option("--prices", metavar="FILE", help="Of Dataflow, for the estimate of --dry-run.")
    ] = None,
) -> None:
    """Build what a manifest describes, skipping what stands. Beam's own flags are passed through."""
    from pipelines.allocation import keep_freed_memory

    if memory_limit is None:
        keep_freed_memory()
    from pipelines import cli

    cli.build(
        manifest,
        out,
        only=only,
        settings=settings,
        check=check,
        runner=runner,
        workers=workers,
        dry_run=dry_run,
        strict=strict,
        flags=context.args,
        keep=keep,
        track_timeout=track_timeout,
        track_memory=track_memory,
        stall_timeout=stall_timeout,
        memory_limit=memory_limit,
        retry=retry,
        prices=prices,
    )


@app.command()
def split(
    table: Annotated[str, typer.Argument(help="A Parquet, CSV, TSV or JSONL table.")],
    out: Annotated[str, typer.Option("--out", help="The Parquet file to write: the id column and `split`.")],
    id_column: Annotated[str, typer.Option("--id", help="The column that names a row.")],
    group: Annotated[str, typer.Option("--group", help="The column that may not be torn apart (artist).")],
    labels: Annotated[str, typer.Option("--labels", help="The column of labels: a list, or text.")],
    ratio: Annotated[list[str], typer.Option("--ratio", metavar="NAME=SHARE", help="Once for each split.")],
    label_separator: Annotated[
        str | None, typer.Option("--label-separator", help="Between labels in text.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, another split of equal quality.")] = 0,
    effort: Annotated[int, typer.Option("--effort", help="How long to search; 1 is usual.")] = 1,
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="FILE", help="An earlier output whose rows keep their splits.")
    ] = None,
) -> None:
    """Split any table so that no group is torn and every label has its share."""
    from pipelines import cli

    cli.split(
        table,
        out,
        columns={"id": id_column, "group": group, "labels": labels},
        ratios=ratio,
        label_separator=label_separator,
        seed=seed,
        effort=effort,
        keep=keep,
    )


@app.command()
def audit(
    directory: Annotated[str, typer.Argument(help="A dataset directory.")],
    against: Annotated[
        list[str], typer.Option("--against", help="A dataset whose tracks this one should not learn from.")
    ] = [],  # noqa: B006
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on a published split's leaks and on shared artists, too.")
    ] = False,
) -> None:
    """Count what splits share with each other and with other datasets. Exit 1 on a leak."""
    from pipelines import cli

    cli.audit(directory, against=against, strict=strict)


@app.command()
def verify(
    directory: Annotated[str, typer.Argument(help="A dataset directory.")],
    against: Annotated[
        str | None, typer.Option("--against", help="Another build of it, or an export of its ids.")
    ] = None,
    workers: Workers = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every tensor: finite, shape, range; and miss no track.")
    ] = False,
) -> None:
    """Read every file that the receipt lists: checksums and schemas. Exit 1 when something differs."""
    from pipelines import cli

    cli.verify(directory, against=against, workers=workers, deep=deep)


@app.command()
def export(
    directory: Annotated[str, typer.Argument(help="A run directory; or, with --ids-only, a dataset directory.")],
    out: Annotated[str, typer.Option("--out", help="The folder to write.")],
    ids_only: Annotated[
        bool, typer.Option("--ids-only", help="Of a dataset: ids, splits and the recipe; no annotation.")
    ] = False,
) -> None:
    """Write a trained model by itself; or ids and splits of a dataset, without what may not be passed on."""
    from schemas.errors import UsageError
    from schemas.receipt import RECEIPT_FILE
    from schemas.store import Store

    if ids_only:
        from pipelines import cli as pipelines_cli

        pipelines_cli.export(directory, out)
        return
    if Store(directory).exists(RECEIPT_FILE):
        raise UsageError(
            "export: of a dataset only ids are exported; say --ids-only (a whole dataset is a directory to copy)"
        )
    from train import cli

    cli.export(directory, out)


@app.command()
def exclusions(
    directory: Annotated[str, typer.Argument(help="A dataset directory.")],
    out: Annotated[str, typer.Option("--out", help="The list to write: a .csv or .parquet file.")],
    stage: Annotated[list[str], typer.Option("--stage", help="Only of these stages: source,features.")] = [],  # noqa: B006
    reason: Annotated[list[str], typer.Option("--reason", help="Only for these reasons: truncated,silent.")] = [],  # noqa: B006
) -> None:
    """Write what a dataset excluded as a list that a manifest's key `exclude` reads."""
    from pipelines import cli

    cli.exclusions(directory, out, stages=stage, reasons=reason)


@app.command()
def report(
    directory: Annotated[str, typer.Argument(help="A dataset directory, or a run directory.")],
    beside: Annotated[
        list[str], typer.Option("--beside", metavar="RUN", help="Of a run: another, in the papers' tables as well.")
    ] = [],  # noqa: B006
    audio: Annotated[
        str | None, typer.Option("--audio", metavar="DIR", help="Of a run: where the dataset's music lies.")
    ] = None,
) -> None:
    """Write a dataset's page, card and Croissant description (metadata.json); or a run's page."""
    from schemas.errors import UsageError
    from schemas.receipt import RECEIPT_FILE
    from schemas.store import Store

    place = Store(directory)
    if place.exists(RECEIPT_FILE) or not place.exists("recipe.json"):
        if beside or audio:
            raise UsageError("report: --beside and --audio go with a run directory")
        from pipelines import cli as pipelines_cli

        pipelines_cli.report(directory)
        return
    from train import cli

    cli.report(directory, beside=beside, audio=audio)


@app.command()
def presets() -> None:
    """List the published audio front ends that a feature may name, with what each keeps of a track."""
    from pipelines import cli

    cli.presets()


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the bare name of a shipped recipe.")],
    data: Annotated[str, typer.Option("--data", help="The dataset directory.")],
    out: Annotated[str, typer.Option("--out", help="The run directory.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run was stopped.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Train a recipe on a dataset."""
    from train import cli

    cli.train(recipe, data, out, resume=resume, settings=settings)


@app.command()
def evaluate(
    run: Annotated[str | None, typer.Argument(help="A run directory.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="The dataset; the run's own by default.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Train probes on the embeddings as well.")] = False,
    embeddings: Annotated[
        str | None, typer.Option("--embeddings", help="Instead of a run: Parquet of track_id and vector.")
    ] = None,
    texts: Annotated[
        str | None,
        typer.Option("--texts", help="With --embeddings: Parquet of text and vector."),
    ] = None,
    out: Annotated[str | None, typer.Option("--out", help="With --embeddings: a JSON file of the figures.")] = None,
    fractions: Annotated[
        str | None, typer.Option("--fractions", help="With --probe: percentages of the labels, 5,10,20,50,80,100.")
    ] = None,
    tags: Annotated[
        list[str], typer.Option("--tags", metavar="FILE", help="Tags, one a line, averaged by themselves as well.")
    ] = [],  # noqa: B006
    scheme: Annotated[str | None, typer.Option("--scheme", help="Of splits; the recipe's by default.")] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Of the scheme; the recipe's by default.")] = None,
) -> None:
    """Measure a run: tagging, and retrieval of music by sentences. Writes metrics.json."""
    from schemas.errors import UsageError
    from train import cli

    if (run is None) == (embeddings is None):
        raise UsageError("evaluate: give a run directory, or --embeddings FILE; one of them")
    if embeddings is None:
        if texts or out:
            raise UsageError("evaluate: --texts and --out go with --embeddings")
        cli.evaluate(str(run), data, probing=probe, fractions=fractions, tags=tags, scheme=scheme, fold=fold)
    elif data is None:
        raise UsageError("evaluate --embeddings: say whose tracks they are by --data DIR")
    else:
        cli.evaluate_embeddings(
            embeddings, data, texts=texts, out=out, fractions=fractions, tags=tags, scheme=scheme, fold=fold
        )


@app.command()
def search(
    run: Annotated[str, typer.Argument(help="A run directory.")],
    query: Annotated[
        list[str], typer.Argument(help="What to look for, in words; several are as many searches.")
    ] = [],  # noqa: B006
    tag: Annotated[list[str], typer.Option("--tag", help="A tag; several together are one search.")] = [],  # noqa: B006
    audio: Annotated[
        list[str], typer.Option("--audio", metavar="FILE", help="A file that the music should sound like.")
    ] = [],  # noqa: B006
    top: Annotated[int, typer.Option("--top", help="How many tracks.")] = 10,
    data: Annotated[str | None, typer.Option("--data", help="The dataset; the run's own by default.")] = None,
    split_name: Annotated[str | None, typer.Option("--split", help="Only tracks of this split.")] = None,
) -> None:
    """Find music by words, by tags, or by music."""
    from train import cli

    cli.search(run, query, tags=tag, audio=audio, top=top, data=data, split=split_name)


@app.command()
def demo(
    out: Annotated[str, typer.Option("--out", help="Gets data/ and run/.")] = "demo",
    workers: Workers = None,
) -> None:
    """Build a synthetic corpus, train on it, measure, and find music by words."""
    from pipelines import cli as pipelines_cli
    from train import cli as train_cli

    data, run = f"{out}/data", f"{out}/run"
    pipelines_cli.build("demo", data, workers=workers, always_tell=True)
    train_cli.train("demo", data, run, resume=True)
    train_cli.evaluate(run, data)
    for query in ("calm piano", "fast drum and bass", "a folk guitar"):
        train_cli.search(run, query, top=3)
    pipelines_cli.report(data)


def main(arguments: list[str] | None = None) -> None:
    """Entry point. A user's mistake is one or two lines and an exit code, never a traceback."""
    from schemas.errors import StoreFailedError, TrackloreError
    from schemas.interrupts import keep_interrupts
    from schemas.plain import one_line, without_secrets

    keep_interrupts()

    def tell(text: str) -> None:
        sys.stderr.write(f"tracklore: {one_line(without_secrets(text))}\n")

    try:
        app(arguments)
    except (KeyboardInterrupt, _InterruptedError):
        tell(f"interrupted{_way_on[0]}")
        sys.exit(130)
    except TrackloreError as error:
        tell(str(error))
        sys.exit(error.exit_code)
    except StoreFailedError as error:
        tell(f"{error.filename}: {error.strerror}{_way_on[0] or _AGAIN}")
        sys.exit(1)
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        tell(told or type(error).__name__)
        sys.exit(2)
    except ImportError as error:
        extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None and isinstance(error, ModuleNotFoundError):
            raise
        way_out = f"; it comes with: pip install 'tracklore[{extra}]'" if extra else ""
        tell(f"{error}{way_out}")
        sys.exit(2)
    except Exception as error:
        from schemas.clients import of_a_client  # of no kind of the language's own

        if not of_a_client(error):
            raise
        tell(f"the store did not do what was asked: {error}{_way_on[0] or _AGAIN}")
        sys.exit(1)
    finally:
        if arguments is None:
            gc.freeze()  # the process ends: to look for cycles in all that it loaded would take it a second


if __name__ == "__main__":
    main()

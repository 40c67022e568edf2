"""What is compared: variants of a training on a composed corpus, and the findings that are held against them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.music import BY_MANY_ARTISTS, music_tree


@dataclass(frozen=True)
class Stage:
    """One training. Several in a row each start from the run before; those of one name are made once a seed.

    Attributes:
        name: of its run's folder.
        recipe: its name.
        settings: what it changes of the recipe.
    """

    name: str
    recipe: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """One way to train; the last stage's run is measured."""

    name: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Finding:
    """One variant is better than another by a figure of metrics.json.

    Attributes:
        figure: its keys, with dots between.
        source: who found it first, or says so.
        worse_figure: the worse variant's own, where it is another.
    """

    better: str
    worse: str
    figure: str
    source: str
    worse_figure: str | None = None


@dataclass(frozen=True)
class Experiment:
    """Variants on one corpus.

    Attributes:
        name: of the corpus' folder.
        build: gives the words behind `tracklore build` that make it.
        shown: figures of metrics.json that are printed.
    """

    name: str
    title: str
    build: Callable[[], tuple[str, ...]]
    variants: tuple[Variant, ...]
    findings: tuple[Finding, ...]
    shown: tuple[str, ...]


# So slow that nothing is learnt; batch normalisation alone has seen the data.
NOTHING_LEARNT = ("optimiser.lr=1.0e-12", "optimiser.weight_decay=0", "training.epochs=1")


def _texts() -> Experiment:
    sentences, tags = "retrieval.map_at_10", "tagging.roc_auc"
    ours = "contrastive, stochastic"
    published, joined = f"{ours}, as published", f"{ours}, implied positives"

    def variant(name: str, *settings: str) -> Variant:
        # Half of the demo's epochs: what differs, differs by then.
        return Variant(name, (Stage(name, "demo", ("training.epochs=34", *settings)),))

    variants = (
        variant("untrained", *NOTHING_LEARNT),
        variant("contrastive, tag", "text.representation=tag"),
        variant("contrastive, sentence", "text.representation=sentence"),
        variant(ours),
        variant(published, "training.masked=[]"),
        variant(joined, "training.masked=[]", "training.positives=implied"),
        variant("triplet, stochastic", "objective={kind: triplet, margin: 0.4}"),
    )
    table = "TTMR, table 2"
    findings = [
        Finding(ours, "contrastive, tag", sentences, table),
        Finding(ours, "contrastive, sentence", tags, table),
        *(Finding(ours, "triplet, stochastic", figure, table) for figure in (sentences, tags)),
        *(
            Finding(ours, other, figure, "ours: what is true of a track is no negative")
            for other in (published, joined)
            for figure in (sentences, tags)
        ),
    ]
    for one in variants[1:]:
        findings += [
            Finding(one.name, "untrained", figure, "what any of them must") for figure in (sentences, tags)
        ]
    shown = (sentences, "retrieval.recall_at_10", "retrieval.median_rank", tags, "tagging.pr_auc")
    return Experiment("data", "Texts and objectives (TTMR)", lambda: ("demo",), variants, tuple(findings), shown)


def _pictures() -> Experiment:
    shown_tags = tuple(f"tagging.by_category.instrument.{figure}" for figure in ("roc_auc", "pr_auc"))
    all_tags = ("tagging.roc_auc", "tagging.pr_auc")
    listened = Stage("video-audio", "demo_video_audio")
    watched = Stage("video-watched", "demo_video")
    untrained = Stage("video-untrained", "demo_video_audio", NOTHING_LEARNT)

    def variant(name: str, *before: Stage) -> Variant:
        return Variant(name, (*before, Stage(f"{before[-1].name}-tagging", "demo_video_tagging")))

    both, alone, neither = "sound and pictures", "sound alone", "untrained"
    variants = (variant(neither, untrained), variant(alone, listened), variant(both, listened, watched))
    findings = (
        *(Finding(both, alone, figure, "VCMR, figure 2: tags of what is seen") for figure in shown_tags),
        *(Finding(both, alone, figure, "VCMR, table 2") for figure in all_tags),
        *(Finding(one, neither, figure, "what either must") for one in (alone, both) for figure in shown_tags),
    )
    # More than the recipe's manifest has: of 180 the second stage learns the pieces by heart.
    build = ("demo_video", "--set", "source.tracks=480", "--set", "source.artists=80")
    title = "Pictures of who plays (VCMR); the encoder is frozen while tags are learnt"
    return Experiment("videos", title, lambda: build, variants, findings, (*shown_tags, *all_tags))


def _real_music() -> Experiment:
    title = "Real music of artists never heard: the first crop of a track finds its last"
    heard = Variant("sound alone", (Stage("music-audio", "demo_video_audio", ("training.epochs=12",)),))
    untrained = Variant("untrained", (Stage("music-untrained", "demo_video_audio", NOTHING_LEARNT),))
    ranks = ("1", "10")
    recalls, chances = ([f"crops.{kind}_at_{rank}" for rank in ranks] for kind in ("recall", "chance"))
    findings = [Finding(heard.name, untrained.name, recall, "what it must") for recall in recalls]
    findings += [
        Finding(heard.name, heard.name, recall, "what it must", chance)
        for recall, chance in zip(recalls, chances, strict=True)
    ]

    def build() -> tuple[str, ...]:
        segments = "{position: centre, span_s: 120, count: 8, segment_s: 15}"
        settings = (
            f"source.path={music_tree('music-by-many', BY_MANY_ARTISTS)}",
            f"features={{waveform: {{kind: waveform, segments: {segments}}}}}",
            "splits.ratios={train: 0.5, valid: 0.1, test: 0.4}",
            "pairs=null",
        )
        return ("folder", *(word for setting in settings for word in ("--set", setting)))

    shown = (*recalls, *chances, "crops.median_rank")
    return Experiment("music", title, build, (untrained, heard), tuple(findings), shown)


EXPERIMENTS = (_texts(), _pictures(), _real_music())

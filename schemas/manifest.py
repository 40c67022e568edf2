"""The manifest: one YAML recipe a dataset, as strict models. Unknown keys are refused by name.

The parts that belong to one source or one feature are validated by that source's or feature's own model (see
`SourceSection` and `FeatureSection`), so that adding one is adding one file.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from schemas.digests import digest_of
from schemas.errors import UsageError, suggest
from schemas.plain import without_secrets
from schemas.store import Store

RATIO_TOLERANCE = 0.001
RESERVED_SPLITS = frozenset({"student", "extra", "none"})
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """A part of the manifest whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SourceSection(BaseModel):
    """Where the music and what is said of it come from. `kind` names the module that knows the other keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = Field(description="a source: folder, mtg_jamendo, demo, …")


class FeatureSection(BaseModel):
    """One feature. `kind` names the module that knows the other keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = Field(default="log_mel", description="what is computed: log_mel, …")


class TagsSection(Section):
    """MSD500's steps (Won's thesis, 5.2.3), each with its threshold."""

    min_score: float = Field(
        default=0, ge=0, description="drop annotations at or below 0, or below a score above 0"
    )
    max_tags_per_track: int | None = Field(
        default=20, ge=1, description="drop tracks with more distinct tags as typed; null keeps all"
    )
    min_tracks: int = Field(default=100, ge=1, description="drop tag groups on fewer tracks")
    top: int | None = Field(default=None, ge=1, description="keep only the most frequent tags")
    min_tracks_per_split: int | None = Field(
        default=None, ge=1, description="drop tags on fewer tracks in any of train, valid, test as published"
    )
    rules: Name = Field(default="msd500", description="a file of manifests/rules")
    drop_artist_names: bool = Field(default=True, description="drop an artist's own name from that artist's tracks")


class CaptionsSection(Section):
    """How a track is put into words."""

    kind: Literal["joined", "templates", "existing"] = Field(
        default="joined", description="tags joined; sentences made from tags; the source's own sentences"
    )
    separator: str = Field(default=", ", description="between the tags")
    order: Literal["seeded", "sorted"] = Field(default="seeded", description="the order of the tags in a caption")
    seed: int = 0
    fallback: Literal["none", "title"] = Field(default="none", description="the caption of a track without tags")
    templates: Name = Field(default="default", description="a file of manifests/templates")
    noise: Name | None = Field(default=None, description="a file of manifests/noise; drops existing captions")
    min_words: int | None = Field(default=None, ge=1, description="of an existing caption; null as the noise file")
    max_words: int | None = Field(default=None, ge=1, description="of an existing caption; null as the noise file")


class SplitsSection(Section):
    """The default scheme: no artist and no recording in two splits, stratified over tags."""

    ratios: dict[Name, float] = Field(default={"train": 0.7, "valid": 0.15, "test": 0.15})
    seed: int = 0
    effort: int = Field(default=1, ge=1, le=1000, description="how many times the usual search, in sweeps")
    folds: int | None = Field(default=None, ge=2, le=100, description="a scheme `kfold` of so many folds beside")
    nested: float | None = Field(
        default=None, gt=0, lt=1, description="carve this share of each fold's train, by artist, as its valid"
    )
    keep: str | None = Field(
        default=None, description="a splits.parquet whose tracks keep their splits; new ones are added"
    )
    apart_from: list[str] = Field(
        default=[], description="dataset directories; tracks found there leave the splits (to `none`)"
    )

    @field_validator("ratios")
    @classmethod
    def _normalised(cls, ratios: dict[str, float]) -> dict[str, float]:
        for name in sorted(RESERVED_SPLITS & set(ratios)):
            raise ValueError(f"{name!r} is kept for tracks that are not split; name the split otherwise")
        return normalised_ratios(ratios)


class VideoFilterSection(Section):
    """Which videos stay (VCMR 4.1), and by what the others are told apart; see `pipelines.videos.kinds`."""

    detector: Literal["content", "adaptive", "histogram", "hash"] = Field(
        default="content", description="PySceneDetect's detector of cuts"
    )
    threshold: float | None = Field(default=None, gt=0, description="the detector's; null is its own default")
    gradual: bool = Field(default=True, description="find dissolves and fades too, which no detector of cuts sees")
    frame_skip: int = Field(
        default=2, ge=0, le=25, description="frames left out between two that are looked at; 0 decodes every frame"
    )
    max_cost: float = Field(
        default=0.05,
        gt=0,
        description="share of its length that a video may take on one core; dearer ones in parts",
    )
    min_scene_s: float = Field(default=0.5, ge=0, description="cuts nearer to each other are one")
    max_scene_s: float = Field(default=30.0, gt=0, description="a video with a longer scene leaves")
    max_mismatch_s: float = Field(default=2.0, gt=0, description="between the lengths of sound and pictures")
    max_black_share: float = Field(default=0.5, gt=0, le=1, description="of the frames")
    max_static_share: float = Field(
        default=0.7, gt=0, le=1, description="of the steps from frame to frame in which nothing moves"
    )


class VideosSection(Section):
    """Where music videos come from. Nothing is downloaded unless `download` says so."""

    local: str | None = Field(default=None, description="a folder of videos that are there, named by their ids")
    download: bool = Field(default=False, description="fetch what is not in `folder` yet")
    made: bool = Field(default=False, description="the source makes them itself, into `videos` below the dataset")
    folder: str | None = Field(default=None, description="of downloads; null is `videos` below the dataset")
    url: str = Field(default="https://www.youtube.com/watch?v={id}", description="the address of a video")
    max_height: int = Field(default=360, ge=16, description="pixels of a fetched video, at most")
    max_duration_s: float = Field(default=900.0, gt=0, description="a longer video leaves")
    max_bytes: int = Field(default=500_000_000, gt=0, description="of a fetched file")
    retries: int = Field(default=4, ge=0, le=100, description="after a failure that may pass")
    backoff_s: float = Field(default=2.0, ge=0, description="before the first retry; each next waits twice as long")
    pause_s: float = Field(default=1.0, ge=0, description="between two videos of one connection")
    at_once: int = Field(default=1, ge=1, le=16, description="videos fetched side by side")
    bytes_a_second: int | None = Field(default=None, gt=0, description="of all connections together, at most")
    timeout_s: float = Field(default=20.0, gt=0, description="for an answer of the server")
    limit_s: float = Field(default=1800.0, gt=0, description="for one attempt at one video")
    cookies: str | None = Field(default=None, description="a cookies.txt in Netscape's format")
    proxy: str | None = Field(default=None, description="an address such as socks5://HOST:PORT")
    allow_private: bool = Field(default=False, description="let addresses lead into private networks")
    filter: VideoFilterSection = VideoFilterSection()

    @field_validator("url")
    @classmethod
    def _has_a_place_for_the_id(cls, url: str) -> str:
        if url.count("{id}") != 1 or not url.startswith(("https://", "http://")):
            raise ValueError("write an http(s) address with {id} once, where the id goes")
        return url

    @model_validator(mode="after")
    def _one_place(self) -> VideosSection:
        given = [name for name in ("local", "download", "made") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]} exclude each other; leave one out")
        return self

    @property
    def at_hand(self) -> bool:
        """Whether there are videos, or will be."""
        return self.local is not None or self.download or self.made


# Where videos lie, how they are fetched and as whom change no byte, and the last are nobody's business.
VIDEO_LOCATION_KEYS = frozenset(
    {
        "local",
        "download",
        "made",
        "folder",
        "retries",
        "backoff_s",
        "pause_s",
        "at_once",
        "bytes_a_second",
        "timeout_s",
    }
    | {"limit_s", "cookies", "proxy", "allow_private"}
)
FEATURE_LOCATION_KEYS = frozenset({"path"})


class PairsSection(Section):
    """The fixed retrieval pairs (TTMR 3.3: 1,000 of the test split)."""

    split: Name = "test"
    count: int = Field(default=1000, ge=1)
    seed: int = 0


class CardSource(Section):
    """One work that the dataset is made from, for its card."""

    name: str
    licence: str = Field(description="as its publishers state it; `not stated` when they do not")
    url: str = ""
    bibtex: str = Field(default="", description="one BibTeX entry")


class CardSection(Section):
    """What the dataset card says beside the numbers."""

    title: str = ""
    description: str = ""
    licence: str = ""
    citation: str = ""
    url: str = ""
    sources: list[CardSource] = []


class Manifest(Section):
    """One dataset."""

    name: Name = Field(description="a directory belongs to one name")
    card: CardSection = CardSection()
    source: SourceSection
    exclude: str | None = Field(
        default=None, description="a CSV or Parquet list of known-bad tracks: track_id, and reason and detail"
    )
    videos: VideosSection | None = Field(default=None, description="music videos: sound and pictures of a track")
    tags: TagsSection = TagsSection()
    captions: CaptionsSection = CaptionsSection()
    splits: SplitsSection = SplitsSection()
    pairs: PairsSection | None = PairsSection()
    features: dict[Name, FeatureSection] = {}

    @model_validator(mode="after")
    def _pairs_split_exists(self) -> Manifest:
        if self.pairs is not None and self.pairs.split not in self.splits.ratios:
            raise ValueError(f"pairs.split is {self.pairs.split!r}, which splits.ratios does not name")
        return self

    def recipe(self, without: Iterable[str] = ()) -> dict[str, Any]:
        """The manifest as JSON, less what says where things lie; `without` names such keys of the source."""
        content = self.model_dump(mode="json", exclude={"exclude"})
        if content["videos"] is None:  # what has none is the recipe that it was before there were any
            del content["videos"]
        else:
            content["videos"] = {k: v for k, v in content["videos"].items() if k not in VIDEO_LOCATION_KEYS}
            content["videos"]["url"] = without_secrets(content["videos"]["url"])
        content["features"] = {
            name: {k: v for k, v in section.items() if k not in FEATURE_LOCATION_KEYS}
            for name, section in content["features"].items()
        }
        content["source"] = {k: v for k, v in content["source"].items() if k not in set(without)}
        # What these files hold enters the digest of the splits; where they lie enters none.
        content["splits"] = {k: v for k, v in content["splits"].items() if k not in ("keep", "apart_from")}
        return content

    def digest(self, without: Iterable[str] = ()) -> str:
        """Digest of everything that can change a table or a tensor; the card cannot."""
        return digest_of({k: v for k, v in self.recipe(without).items() if k != "card"})


def normalised_ratios(ratios: Mapping[str, float]) -> dict[str, float]:
    """Return ratios that sum to 1, in the one order of splits: what is learnt from, then train, valid, test, then
    others by name. So the order in which a person writes them decides nothing.

    Raises:
        ValueError: none, one that is not positive, or a sum that misses 1 by more than 0.001.
    """
    if not ratios:
        raise ValueError("give at least one split, such as train: 1")
    for name, ratio in ratios.items():
        if not 0 < ratio <= 1 + RATIO_TOLERANCE:
            raise ValueError(f"the ratio of {name!r} is {ratio:g}; it must lie above 0 and be at most 1")
    total = sum(ratios.values())
    if abs(total - 1) > RATIO_TOLERANCE + 1e-12:
        raise ValueError(f"the ratios sum to {total:g}, not to 1")
    # What sums to 1 but for rounding is kept: a recipe that was written down and read again is the same recipe.
    scale = 1.0 if abs(total - 1) <= 1e-12 else total
    learnt = learnt_split(ratios)
    ordered = [learnt, *(name for name in split_order(ratios) if name != learnt)]
    return {name: ratios[name] / scale for name in ordered}


def learnt_split(ratios: Mapping[str, float]) -> str:
    """The split that models learn from: `train`, or the largest where none is called so (of two, the first)."""
    return "train" if "train" in ratios else min(split_order(ratios), key=lambda name: -round(ratios[name], 9))


def split_order(names: Iterable[str]) -> list[str]:
    """Split names in the order in which they are searched, printed and drawn."""
    known = {"train": 0, "valid": 1, "test": 2}
    return sorted(names, key=lambda name: (known.get(name, len(known)), name))


def validated(model: type[M], content: Any, where: str, prefix: str = "") -> M:
    """Validate `content` by `model`; errors become one line that names the key.

    Raises:
        UsageError: the first things that are wrong, with `where` (a file) and the dotted key.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [_problem(model, detail, prefix) for detail in error.errors()[:3]]
        raise UsageError(f"{where}: " + "; ".join(problems)) from error


def _problem(model: type[BaseModel], detail: Any, prefix: str) -> str:
    location = [str(part) for part in detail["loc"]]
    key = ".".join(([prefix] if prefix else []) + location)
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key{suggest(location[-1], _keys_at(model, location[:-1]))}"
    if detail["type"] == "missing":
        return f"{key}: is required"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _keys_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """The keys that the model knows at a place, for suggestions."""
    current: Any = model
    for part in location:
        fields = getattr(current, "model_fields", {})
        if part not in fields:
            return []
        current = fields[part].annotation
        if get_origin(current) is Union or type(current).__name__ == "UnionType":
            current = next(
                (arm for arm in get_args(current) if isinstance(arm, type) and arm is not type(None)), None
            )
    return list(getattr(current, "model_fields", {}))


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that refuses a key written twice."""


def _mapping_of_unique_keys(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, str) and key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
        if isinstance(key, str):
            seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_of_unique_keys)


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML safely.

    Raises:
        UsageError: it is no YAML, or a key stands twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with one more check
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"{where}: is not valid YAML: {problem}") from error


def shipped_manifests() -> list[str]:
    """Bare names of the manifests that come with Tracklore."""
    folder = importlib.resources.files("manifests")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def manifest_text(name: str) -> tuple[str, str, str | None]:
    """Find a manifest by path, URI or bare name; return (text, where, the folder that relative paths start from).

    Raises:
        UsageError: neither a file nor a shipped name.
    """
    if "://" in name:
        folder, _, file = name.rpartition("/")
        try:
            return Store(folder).read_text(file), name, folder
        except (FileNotFoundError, ValueError) as error:
            raise UsageError(f"{name}: no such manifest ({error})") from error
    path = Path(name)
    try:
        if path.is_file():
            return path.read_text("utf-8"), str(path), str(path.resolve().parent)
    except (OSError, ValueError) as error:
        raise UsageError(f"{name!r}: cannot be read ({error})") from error
    bare = re.fullmatch(r"(?:manifests/)?([A-Za-z0-9_-]+)(?:\.yaml)?", name)
    if bare and bare[1] in shipped_manifests():
        shipped = importlib.resources.files("manifests").joinpath(f"{bare[1]}.yaml")
        return shipped.read_text("utf-8"), f"{bare[1]}.yaml", None
    known = ", ".join(shipped_manifests())
    raise UsageError(f"{name}: no such manifest; give a path, or one of: {known}")


def with_settings(content: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Apply `--set a.b=value` (value in YAML) to a parsed YAML mapping, and return a changed copy.

    Raises:
        UsageError: a setting without `=`, or one that goes through something that is no mapping.
    """
    result: dict[str, Any] = _copy(content)
    for setting in settings:
        key, equals, raw = setting.partition("=")
        parts = key.split(".")
        if not equals or not all(parts):
            raise UsageError(f"--set {setting}: write --set key.of.manifest=value")
        place = result
        for part in parts[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise UsageError(f"--set {setting}: {part!r} is a value, not a section")
        place[parts[-1]] = parse_yaml(raw, f"--set {setting}")
    return result


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def load_manifest(name: str, settings: Iterable[str] = ()) -> tuple[Manifest, str, str | None]:
    """Load a manifest by path or bare name, with `--set` applied; return (manifest, where, base folder).

    Raises:
        UsageError: not found, not YAML, or a key that is not known.
    """
    text, where, base = manifest_text(name)
    content = parse_yaml(text, where)
    if not isinstance(content, dict):
        raise UsageError(f"{where}: a manifest is a mapping of keys, such as name: and source:")
    return validated(Manifest, with_settings(content, settings), where), where, base

"""Emotions of texts and the moods of music that stand for them (Won's thesis, Table 5.5).

Read from `manifests/emotions/NAME.yaml`, so that whoever evaluates can read, edit and cite the same file.
"""

from __future__ import annotations

import importlib.resources

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.errors import UsageError
from schemas.manifest import parse_yaml, validated

MoodsOf = dict[str, list[str]]


class EmotionMap(BaseModel):
    """The map of one text dataset: for each of its emotions the moods of music, by three ways of mapping.

    Attributes:
        va: nearest in valence and arousal (Euclidean).
        w2v: nearest in Word2Vec (cosine).
        manual: by hand; any of the moods is right.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    va: MoodsOf
    w2v: MoodsOf
    manual: MoodsOf

    @model_validator(mode="after")
    def _same_emotions(self) -> EmotionMap:
        for name, moods in (("w2v", self.w2v), ("manual", self.manual)):
            if moods.keys() != self.va.keys():
                odd = ", ".join(sorted(moods.keys() ^ self.va.keys()))
                raise ValueError(f"{name} and va do not map the same emotions: {odd}")
        return self


class EmotionMaps(BaseModel):
    """A file of `manifests/emotions`.

    Attributes:
        moods: the mood tags of the music.
        texts: a map for each text dataset, by the name of its manifest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    moods: list[str] = Field(min_length=1)
    texts: dict[str, EmotionMap]

    @model_validator(mode="after")
    def _known_moods(self) -> EmotionMaps:
        for name, maps in self.texts.items():
            for moods_of in (maps.va, maps.w2v, maps.manual):
                for emotion, moods in moods_of.items():
                    unknown = sorted(set(moods) - set(self.moods))
                    if unknown or not moods:
                        raise ValueError(f"{name}.{emotion}: {unknown or 'nothing'} is no mood of the list")
        return self


def load_emotion_maps(name: str = "won_thesis") -> EmotionMaps:
    """Load emotion maps by name.

    Raises:
        UsageError: no such file, or a key or mood that is wrong.
    """
    folder = importlib.resources.files("manifests").joinpath("emotions")
    file = folder.joinpath(f"{name}.yaml")
    if not file.is_file():
        known = sorted(e.name.removesuffix(".yaml") for e in folder.iterdir() if e.name.endswith(".yaml"))
        raise UsageError(f"no emotion maps {name!r} in manifests/emotions; known: {', '.join(known)}")
    where = f"emotions/{name}.yaml"
    return validated(EmotionMaps, parse_yaml(file.read_text("utf-8"), where), where)

"""The recipe of text and audio: which texts, which encoders."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.manifest import Name, Section
from train.data.text import Relation, Representation
from train.recipe import DataSection, Recipe, TrainingSection


class TextAudioData(DataSection):
    """What is heard."""

    feature: Name = Field(default="ttmr", description="a feature of the dataset's manifest")
    crop_frames: int = Field(default=992, ge=16, description="frames a crop")
    crops: int = Field(default=1, ge=1, le=16, description="crops a track and step, of one read")


class TextSection(Section):
    """How a track is put into words at each step (TTMR 2.3)."""

    representation: Representation = Field(
        default="stochastic", description="vocabulary: every track against every tag, as classification needs"
    )
    separator: str = ", "
    max_length: int = Field(default=64, ge=4, description="tokens; longer texts are cut")
    vocabulary: int = Field(default=2000, ge=30, description="size of a vocabulary trained here")


class AudioModel(BaseModel):
    """The audio encoder. `kind` names the module of `train.models.audios` that knows the other keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = "ttmr"


class TextModel(BaseModel):
    """The text encoder. `kind` names the module of `train.models.texts` that knows the other keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = "pretrained"


class ModelSection(Section):
    """Both encoders and the dimensions of their joint space."""

    embedding: int = Field(default=128, ge=1)
    audio: AudioModel = AudioModel()
    text: TextModel = TextModel()


class TextAudioTraining(TrainingSection):
    """Which texts are true of which tracks."""

    positives: tuple[Relation, ...] = Field(
        default=("equal",),
        description="which other tracks' texts are true of a track as well: those that say the same (equal), those "
        "whose tags it has (implied), those of the same recording or artist; diagonal for none",
    )
    masked: tuple[Relation, ...] = Field(
        default=(), description="which other tracks' texts are neither true nor untrue of a track"
    )

    @field_validator("positives", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        if value == "diagonal":
            return ()
        return (value,) if isinstance(value, str) else value


class TextAudioRecipe(Recipe):
    """One configuration of training two encoders on tracks and what is said of them."""

    task: Literal["text_audio"] = "text_audio"
    data: TextAudioData = TextAudioData()
    text: TextSection = TextSection()
    model: ModelSection = ModelSection()
    training: TextAudioTraining = TextAudioTraining()

    def resolved(self, where: str) -> Self:
        """See `Recipe.resolved`."""
        from train.models.audios import audio_settings
        from train.models.texts import text_settings

        audio = audio_settings(self.model.audio.model_dump(), where)
        text = text_settings(self.model.text.model_dump(), where)
        sections = {
            "audio": AudioModel.model_validate(audio.model_dump()),
            "text": TextModel.model_validate(text.model_dump()),
        }
        return super().resolved(where).model_copy(update={"model": self.model.model_copy(update=sections)})

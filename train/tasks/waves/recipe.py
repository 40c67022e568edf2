"""Recipe keys of the tasks that begin with sound itself."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from schemas.manifest import Name, Section
from train.recipe import DataSection, ObjectiveSection, Recipe


class WavesData(DataSection):
    """What is heard."""

    feature: Name = Field(default="waveform", description="a feature of the dataset's manifest")
    samples: int = Field(default=98_415, ge=2, description="of a crop, or frames where the feature has frames")
    items: Literal["segments", "tracks"] = Field(
        default="segments", description="what an epoch goes through: every segment of every track, or every track"
    )


class AudioModel(BaseModel):
    """The audio encoder. `kind` names the module of `train.models.audios` that knows the other keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = "sample_cnn"


class StartSection(Section):
    """The weights that the audio encoder begins with."""

    run: str | None = Field(
        default=None, description="a run directory, or an export of one, with the same encoder; null for random"
    )
    frozen: int | Literal["all"] = Field(
        default=0, description="how many of the encoder's first blocks learn nothing, or all of it"
    )


class WavesRecipe(Recipe):
    """As far as these tasks share it."""

    data: WavesData = WavesData()
    objective: ObjectiveSection = ObjectiveSection(kind="nt_xent")

    def content(self) -> dict[str, Any]:
        """What decides the result: not where the weights lie that it starts from; data.json has what they are."""
        found = super().content()
        if "start" in found:
            found["start"] = {key: value for key, value in found["start"].items() if key != "run"}
        return found

    def resolved(self, where: str) -> Self:
        """See `Recipe.resolved`."""
        from train.models.audios import audio_settings

        model: Any = getattr(self, "model")  # noqa: B009 - each task has a section of its own
        settings = audio_settings(model.audio.model_dump(), where)
        audio = AudioModel.model_validate(settings.model_dump())
        changed = model.model_copy(update={"audio": audio})
        return super().resolved(where).model_copy(update={"model": changed})

"""One video's files looked through: what they are, where the scenes are, and whether it stays (VCMR 4.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.videos.kinds import Motion, MotionMeter, no_music_video
from pipelines.videos.scenes import SceneFinder, longest_scene
from pipelines.videos.thumbnails import DamagedError, NotAVideoError, Streams, audio_end, streams_of, thumbnails
from schemas.manifest import VideoFilterSection
from schemas.reasons import Reason
from schemas.tables.videos import KEPT

_TRUNCATED_S = 2.0


def examine(request: dict[str, Any]) -> dict[str, Any]:
    """Look through one video.

    Args:
        request: `audio` and `video`, local paths (the same for one file, None for what there is no file of);
            `filter`, the section of the manifest; `max_duration_s`.

    Returns:
        the columns of `videos` that are found in the files.
    """
    settings = VideoFilterSection.model_validate(request["filter"])
    audio = None if request["audio"] is None else Path(request["audio"])
    video = None if request["video"] is None else Path(request["video"])
    found: dict[str, Any] = {}
    try:
        reason, detail = _looked_through(audio, video, settings, request["max_duration_s"], found)
    except NotAVideoError as error:
        reason, detail = Reason.NOT_VIDEO, f"no decoder knows the file: {error}"
    except DamagedError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from None
        reason, detail = Reason.DECODE_ERROR, str(error)
    return {"kind": str(reason or KEPT), "detail": detail or None, **found}


def _looked_through(
    audio: Path | None, video: Path | None, settings: VideoFilterSection, longest_s: float, found: dict[str, Any]
) -> tuple[Reason | None, str]:
    apart = audio is not None and audio != video
    sound = streams_of(audio) if apart and audio is not None else None
    pictures = streams_of(video) if video is not None else Streams()
    stated = max(part.stated_s or 0.0 for part in (sound or pictures, pictures))
    has_audio = sound.has_audio if sound is not None else pictures.has_audio and audio is not None
    if not pictures.has_video:
        return Reason.NO_VIDEO_STREAM, "sound alone" if has_audio else "neither sound nor pictures"
    found.update(fps=pictures.fps, width=pictures.width, height=pictures.height)
    if not has_audio:
        return Reason.NO_AUDIO_STREAM, "pictures alone"
    if stated > longest_s:
        return Reason.TOO_LONG, f"{stated:.0f} s; at most {longest_s:g} s are taken"
    assert video is not None
    finder, meter = SceneFinder(settings, pictures.fps), MotionMeter()
    seen = Streams()
    for second, picture, gap in thumbnails(video, settings.frame_skip, seen, settings.max_cost):
        finder.take(second, picture, gap)
        meter.take(picture, gap)
    audio_s = audio_end(audio) if apart and audio is not None else seen.audio_s
    end = min(audio_s, seen.video_s)
    starts = finder.starts()
    motion = meter.motion()
    where, length = longest_scene(starts, seen.video_s)
    found.update(
        duration_s=round(end, 6),
        audio_s=round(audio_s, 6),
        video_s=round(seen.video_s, 6),
        scenes=starts,
        longest_scene_s=round(length, 6),
        static_share=round(motion.static_share, 6),
        black_share=round(motion.black_share, 6),
    )
    return _verdict(settings, motion, audio_s, seen, stated, where, length)


def _verdict(
    settings: VideoFilterSection,
    motion: Motion,
    audio_s: float,
    seen: Streams,
    stated: float,
    where: float,
    length: float,
) -> tuple[Reason | None, str]:
    """The first of what speaks against the video, the files before the pictures."""
    if max(audio_s, seen.video_s) < stated - _TRUNCATED_S:
        return Reason.TRUNCATED, f"{max(audio_s, seen.video_s):.2f} s could be read of {stated:.2f} s"
    if abs(audio_s - seen.video_s) > settings.max_mismatch_s:
        return Reason.LENGTH_MISMATCH, f"{audio_s:.2f} s of sound, {seen.video_s:.2f} s of pictures"
    moving = no_music_video(motion, settings)
    if moving is not None:
        return moving
    if length > settings.max_scene_s:
        return Reason.LONG_SCENE, f"from second {where:.1f} on, {length:.1f} s; at most {settings.max_scene_s:g} s"
    return None, ""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import mutagen
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TALB, TCON, TDRC, TIT2, TPE1
from mutagen.mp4 import MP4
from mutagen.wave import WAVE

from pipelines.file_kinds import SUFFIXES_OF
from pipelines.sources.probe import Probe, probe
from schemas.reasons import Reason
from schemas.store import Store

Play = Callable[..., Path]
FORMATS = ("mp3", "flac", "ogg", "oga", "opus", "wav", "m4a")
FRAMES: dict[str, Any] = {"artist": TPE1, "album": TALB, "title": TIT2, "date": TDRC, "genre": TCON}


def tag(path: Path, version: int = 4, **values: str | list[str]) -> None:
    """Write tags as the container keeps them."""
    if path.suffix in (".wav", ".mp3"):
        frames: Any = WAVE(path) if path.suffix == ".wav" else mutagen.File(path)
        if frames.tags is None:
            frames.add_tags()
        for key, value in values.items():
            frames.tags.add(FRAMES[key](encoding=3, text=value))
        if path.suffix == ".mp3":
            frames.tags.update_to_v23() if version == 3 else None
            frames.save(v2_version=version, v1=2)
        else:
            frames.save()
        return
    found: Any = MP4(path) if path.suffix == ".m4a" else mutagen.File(path)
    names = {"artist": "©ART", "album": "©alb", "title": "©nam", "date": "©day", "genre": "©gen"}
    for key, value in values.items():
        found[names[key] if path.suffix == ".m4a" else key] = value
    found.save()


def look(path: Path) -> Probe:
    return probe(Store(str(path.parent)), path.name)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_tells_its_length_and_its_tags(suffix: str, play: Play, tmp_path: Path) -> None:
    path = play(tmp_path / f"a.{suffix}", 1.5)
    bare = look(path)
    assert bare.reason is None
    assert bare.duration_s == pytest.approx(1.5, abs=0.15)
    assert (bare.artist, bare.title, bare.year, bare.genres) == (None, None, None, ())
    assert bare.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    tag(path, artist="Sigur  Rós ", album="()", title="Untitled 1", date="2002-10-28", genre="Post-Rock; Ambient")
    found = look(path)
    assert (found.artist, found.album, found.title, found.year) == ("Sigur Rós", "()", "Untitled 1", 2002)
    assert found.genres == ("Post-Rock", "Ambient")
    assert found.sha256 != bare.sha256
    assert found.duration_s == pytest.approx(1.5, abs=0.15)


@pytest.mark.parametrize("suffix", ["mp3", "flac"])
def test_the_same_sound_with_other_tags_is_one_recording(suffix: str, play: Play, tmp_path: Path) -> None:
    first, second = play(tmp_path / f"a.{suffix}"), play(tmp_path / f"b.{suffix}")
    other = play(tmp_path / f"c.{suffix}", pitch=441)
    bare = look(first).sound
    tag(first, artist="A", title="x" * 5000)
    tag(second, artist="B")
    assert look(first).sha256 != look(second).sha256
    assert look(first).sound == look(second).sound == bare
    assert look(other).sound != bare


def test_id3_at_both_ends_and_ape_are_no_sound(play: Play, tmp_path: Path) -> None:
    path = play(tmp_path / "a.mp3")
    bare, data = look(path).sound, path.read_bytes()
    tag(path, version=3, artist="A", title="T", date="1999")
    whole = path.read_bytes()
    assert whole.startswith(b"ID3")
    assert whole[-128:].startswith(b"TAG")
    assert look(path).sound == bare
    assert look(path).year == 1999
    path.write_bytes(data)
    ape = APEv2()
    ape["artist"] = "Ape"
    ape.save(path)
    assert b"APETAGEX" in path.read_bytes()
    assert look(path).sound == bare
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert look(path).sound == bare
    path.write_bytes(whole[:-128])
    assert look(path).sound == bare


def test_a_changed_sound_is_another_recording_whatever_its_tags(play: Play, tmp_path: Path) -> None:
    path = play(tmp_path / "a.mp3")
    tag(path, artist="A")
    before, data = look(path).sound, bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    assert look(path).sound != before


@pytest.mark.parametrize(
    ("typed", "genres"),
    [
        ("R&B/Soul; Pop", ("R&B", "Soul", "Pop")),
        ("Hip-Hop/Rap", ("Hip-Hop", "Rap")),
        ("Singer/Songwriter", ("Singer/Songwriter",)),
        ("singer / songwriter, Folk", ("singer / songwriter", "Folk")),
        ("Folk, World, & Country", ("Folk", "World", "Country")),
        ("Drum & Bass", ("Drum & Bass",)),
        ("Rock,, Rock ; /", ("Rock",)),
        ("Rock'n'Roll", ("Rock'n'Roll",)),
        (" ; ", ()),
        (["Jazz", "Blues/Soul"], ("Jazz", "Blues", "Soul")),
    ],
)
def test_several_genres_in_one_are_parted(
    typed: str | list[str], genres: tuple[str, ...], play: Play, tmp_path: Path
) -> None:
    path = play(tmp_path / "a.flac")
    tag(path, genre=typed)
    assert look(path).genres == genres


@pytest.mark.parametrize("suffix", ["mp3", "wav"])
@pytest.mark.parametrize(
    ("typed", "genre"), [("17", "Rock"), ("(17)", "Rock"), ("(17)Rock", "Rock"), ("Zouk", "Zouk")]
)
def test_genres_of_mp3_may_be_numbers(suffix: str, typed: str, genre: str, play: Play, tmp_path: Path) -> None:
    path = play(tmp_path / f"a.{suffix}")
    tag(path, genre=typed)
    assert look(path).genres == (genre,)


@pytest.mark.parametrize(
    ("typed", "year"),
    [
        ("1999", 1999),
        ("1999-12-31T23:59", 1999),
        ("19991231", 1999),
        ("31.12.1999", 1999),
        ("c. 1887", 1887),
        ("2099", 2099),
        ("0000", None),
        ("199", None),
        ("19995", None),
        ("1799", None),
        ("201900", None),
        ("unknown", None),
    ],
)
def test_a_year_is_found_in_a_date(typed: str, year: int | None, play: Play, tmp_path: Path) -> None:
    path = play(tmp_path / "a.flac")
    tag(path, date=typed)
    assert look(path).year == year


def test_the_first_of_several_values_counts_and_blanks_are_none(play: Play, tmp_path: Path) -> None:
    path = play(tmp_path / "a.flac")
    tag(path, artist=["  ", "First", "Second"], title="\n", album="a\x00b")
    found = look(path)
    assert (found.artist, found.title) == ("First", None)


@pytest.mark.parametrize(
    ("name", "data", "detail"),
    [
        ("a.mp3", b"", "zero bytes"),
        ("a.mp3", b"this is no music, whatever its name says" * 20, ""),
        ("a.flac", b"fLaC", ""),
        ("a.flac", b"\x00" * 4096, ""),
        ("a.ogg", b"OggS" + bytes(200), ""),
        ("a.opus", b"x", ""),
        ("a.wav", b"RIFF\x00\x00\x00\x00WAVE", ""),
        ("a.wav", b"RIFF", ""),
        ("a.m4a", b"\x00\x00\x00\x18ftypM4A " + bytes(16), ""),
        ("a.m4a", b"\x00\x00\x00\x01" * 8, ""),
        ("a.mp3", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f", ""),
    ],
)
def test_what_is_no_audio_is_told_and_raises_nothing(name: str, data: bytes, detail: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    found = look(tmp_path / name)
    assert found.reason == Reason.NOT_AUDIO
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.detail
    assert detail in found.detail
    assert "\n" not in found.detail


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_cut_off_anywhere_raises_nothing(suffix: str, play: Play, tmp_path: Path) -> None:
    data = play(tmp_path / f"whole.{suffix}", 0.1).read_bytes()
    path = tmp_path / f"a.{suffix}"
    for kept in [*range(0, 80, 7), *range(80, len(data), max(1, len(data) // 25))]:
        path.write_bytes(data[:kept])
        found = look(path)
        assert found.reason in (None, Reason.NOT_AUDIO)


@given(st.data())
@settings(deadline=None, max_examples=120, derandomize=True)
def test_damage_anywhere_raises_nothing(play: Play, tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    suffix = data.draw(st.sampled_from(FORMATS))
    folder = tmp_path_factory.getbasetemp() / "damage"
    path = folder / f"whole.{suffix}"
    if not path.exists():
        tag(play(path, 0.1), artist="A", genre="17", date="1999")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content), 2000) - 1))] = data.draw(st.integers(0, 255))
    broken = folder / f"broken.{suffix}"
    broken.write_bytes(content)
    found = look(broken)
    assert found.reason in (None, Reason.NOT_AUDIO)
    assert Probe.of_json(json.loads(json.dumps(found.as_json()))) == found


def test_a_missing_file_and_a_link_to_nothing_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").symlink_to(tmp_path / "gone.mp3")
    for name in ("a.mp3", "b.mp3"):
        assert look(tmp_path / name).reason == Reason.MISSING_FILE


def test_a_link_to_itself_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").symlink_to(tmp_path / "a.mp3")
    found = look(tmp_path / "a.mp3")
    assert found.reason == Reason.UNREADABLE
    assert found.detail == os.strerror(40)


def test_a_flac_without_its_own_checksum_has_that_of_its_bytes(play: Play, tmp_path: Path) -> None:
    path = play(tmp_path / "a.flac")
    data = bytearray(path.read_bytes())
    data[8 + 18 : 8 + 34] = bytes(16)  # the STREAMINFO block's MD5
    path.write_bytes(data)
    assert FLAC(path).info.md5_signature == 0
    found = look(path)
    assert found.sound == found.sha256


def test_a_name_in_capitals_or_of_another_format_is_read(play: Play, tmp_path: Path) -> None:
    """What a file is, its content says."""
    flac = play(tmp_path / "a.flac")
    flac.rename(tmp_path / "A.MP3")
    found = look(tmp_path / "A.MP3")
    assert found.reason is None
    assert found.sound.startswith("flac-pcm-")


def test_text_of_an_old_encoding_is_text(play: Play, tmp_path: Path) -> None:
    path = play(tmp_path / "a.mp3")
    frames = ID3()
    frames.add(TPE1(encoding=0, text="Bj\xf6rk"))
    frames.add(TIT2(encoding=1, text="日本"))
    frames.save(path, v2_version=3)
    found = look(path)
    assert (found.artist, found.title) == ("Björk", "日本")


def test_the_tags_of_another_program_are_read_from_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1600, np.float32), 16000)
    tag(path, artist="A", genre="Pop/Rock", date="2001")
    found = look(path)
    assert (found.artist, found.genres, found.year) == ("A", ("Pop", "Rock"), 2001)


@pytest.mark.parametrize("by", ["libFLAC", "FFmpeg"])
@pytest.mark.parametrize("samples", [5, 4096, 4097, 50_000, 131_072])
def test_a_flac_knows_whether_it_is_all_there(by: str, samples: int, tmp_path: Path) -> None:
    sound = np.random.default_rng(samples).normal(0, 0.2, samples).astype(np.float32)
    path = tmp_path / "a.flac"
    if by == "libFLAC":
        soundfile.write(path, sound, 44_100)
    else:
        flac_by_ffmpeg(path, sound)
    whole = look(path)
    assert whole.whole is True and whole.sound.startswith("flac-pcm-")
    content = path.read_bytes()
    # Tags behind the sound change nothing.
    path.write_bytes(content + b"TAG" + bytes(125))
    assert look(path).whole is True
    for lost in {1, len(content) // 20, len(content) // 2} - {0}:
        path.write_bytes(content[:-lost])
        cut = look(path)
        if cut.reason is None:
            assert cut.whole is False
            assert cut.sound == whole.sound


def flac_by_ffmpeg(path: Path, sound: Any) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("flac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray((sound[None] * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = 44_100
        cutter: Any = av.AudioResampler("s16", "mono", 44_100, frame_size=stream.codec_context.frame_size)
        for piece in [*cutter.resample(frame), *cutter.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("content", FORMATS)
@pytest.mark.parametrize("name", FORMATS)
def test_tags_are_read_whatever_the_name_says(play: Play, tmp_path: Path, content: str, name: str) -> None:
    path = play(tmp_path / f"a.{content}")
    tag(path, artist="A", title="T")
    found = look(path.rename(tmp_path / f"b.{name}"))
    assert found.reason is None
    assert (found.artist, found.title) == ("A", "T")
    assert found.kind is not None and f".{content}" in SUFFIXES_OF[found.kind]

"""What a demo track plays: the few numbers from which its sound and its tags both follow."""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE_RATE = 22_050
"""Samples per second of everything that the demo renders (mono)."""

MINIMAL_BELOW = 0.24
DENSE_FROM = 0.75
"""Densities at which a piece is called minimal or dense, and played so."""

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)


@dataclass(frozen=True, slots=True)
class Score:
    """One piece, complete: equal scores sound equal, whatever the track is called.

    Attributes:
        genre: a key of `genres.GENRES`.
        bpm: quarter notes per minute.
        beats_per_bar: 3 or 4 quarter notes.
        root: MIDI pitch of the tonic, 45 (A2) to 56.
        mode: `major` or `minor`.
        progression: scale degrees (0 is the tonic) of the chords, one a bar, repeated.
        lead: timbre of the melody, a key of `timbres.TIMBRES`.
        comp: timbre of the accompaniment, or None.
        comp_style: how the accompaniment plays its chords, a key of `accompaniment.COMP_STYLES`.
        bass_style: how the bass plays, a key of `accompaniment.BASS_STYLES`, or None.
        pattern: drum pattern, a key of `percussion.PATTERNS`, or None.
        register: -1 low, 0 middle, 1 high.
        density: 0 (few notes) to 1 (many).
        swing: delay of every second eighth, as a part of an eighth.
        echo: 0 (dry) to 1 (long echoes).
        tone: spectral tilt, -1 (dull) to 1 (brilliant).
        lofi: whether it sounds off a worn record: narrow band, crackle and hiss.
        seconds: length of the recording.
        peak_db: level of the loudest sample in dBFS.
        seed: of everything left open above: motif, rhythm, velocities.
    """

    genre: str
    bpm: float
    beats_per_bar: int
    root: int
    mode: str
    progression: tuple[int, ...]
    lead: str
    comp: str | None
    comp_style: str
    bass_style: str | None
    pattern: str | None
    register: int
    density: float
    swing: float
    echo: float
    tone: float
    lofi: bool
    seconds: float
    peak_db: float
    seed: int

    @property
    def scale(self) -> tuple[int, ...]:
        """Semitones of the seven scale degrees above the tonic."""
        return MAJOR if self.mode == "major" else MINOR

    @property
    def lively(self) -> bool:
        """Whether it bounces: in major, at a walking pace or faster."""
        return self.mode == "major" and self.bpm >= 100

    def pitch(self, degree: int) -> int:
        """Return the MIDI pitch of a scale degree, counted from the tonic; octaves continue both ways."""
        octave, step = divmod(degree, 7)
        return self.root + 12 * octave + self.scale[step]


@dataclass(frozen=True, slots=True)
class Note:
    """A note: onset and length in seconds, MIDI pitch, linear gain."""

    timbre: str
    onset: float
    seconds: float
    pitch: int
    gain: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A stroke on a drum: onset in seconds, linear gain."""

    drum: str
    onset: float
    gain: float

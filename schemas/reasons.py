"""The closed vocabulary of reasons for which a track, a tag or a video leaves the way."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a row stands in `exclusions`. Adding a reason is adding a line here; nothing else may be written."""

    NOT_AUDIO = "not_audio"
    DECODE_ERROR = "decode_error"
    TRUNCATED = "truncated"
    TOO_SHORT = "too_short"
    SILENT = "silent"
    NOT_FINITE = "not_finite"
    CLIPPED = "clipped"
    TIMED_OUT = "timed_out"
    DECODER_DIED = "decoder_died"
    OUT_OF_MEMORY = "out_of_memory"
    KNOWN_BAD = "known_bad"
    MISSING_FILE = "missing_file"
    UNREADABLE = "unreadable"
    OUTSIDE_SOURCE = "outside_source"
    DUPLICATE_ID = "duplicate_id"
    DUPLICATE_RECORDING = "duplicate_recording"
    INVALID_ROW = "invalid_row"
    NO_TAGS = "no_tags"
    NO_LISTENERS = "no_listeners"
    TAG_COUNT_OVER_LIMIT = "tag_count_over_limit"
    TAG_NOT_MUSICAL = "tag_not_musical"
    TAG_BELOW_MIN_TRACKS = "tag_below_min_tracks"
    TAG_RARE_IN_A_SPLIT = "tag_rare_in_a_split"
    CAPTION_TOO_SHORT = "caption_too_short"
    CAPTION_TOO_LONG = "caption_too_long"
    CAPTION_NOISE = "caption_noise"
    NO_AUDIO = "no_audio"
    MISMATCHED = "mismatched"
    BRIDGES_ARTISTS = "bridges_artists"
    ARTIST_IN_TWO_SPLITS = "artist_in_two_splits"
    RECORDING_CANDIDATE = "recording_candidate"
    CONTAMINATED = "contaminated"
    LONG_SCENE = "long_scene"
    UNAVAILABLE = "unavailable"
    INVALID_ID = "invalid_id"
    PRIVATE = "private"
    REMOVED = "removed"
    REGION_LOCKED = "region_locked"
    AGE_RESTRICTED = "age_restricted"
    TOO_LONG = "too_long"
    TOO_LARGE = "too_large"
    NOT_VIDEO = "not_video"
    NETWORK = "network"
    RATE_LIMITED = "rate_limited"
    PRIVATE_ADDRESS = "private_address"
    STILL_IMAGE = "still_image"
    LYRIC_VIDEO = "lyric_video"
    SLIDE_SHOW = "slide_show"
    BLACK_FRAMES = "black_frames"
    NO_VIDEO_STREAM = "no_video_stream"
    NO_AUDIO_STREAM = "no_audio_stream"
    LENGTH_MISMATCH = "length_mismatch"

    @property
    def meaning(self) -> str:
        """One sentence for reports."""
        return _MEANINGS[self]


# What may be otherwise another time, or elsewhere: the machine was slow, full or out of reach.
FAULTS_OF_THE_MACHINE = frozenset(
    {Reason.TIMED_OUT, Reason.DECODER_DIED, Reason.OUT_OF_MEMORY, Reason.UNREADABLE, Reason.MISSING_FILE}
)

_MEANINGS: dict[Reason, str] = {
    Reason.NOT_AUDIO: "the file is not audio that any decoder knows",
    Reason.DECODE_ERROR: "the decoder gave up on the file",
    Reason.TRUNCATED: "the file ends before the length that its header states",
    Reason.TOO_SHORT: "less sound than the feature's shortest clip",
    Reason.SILENT: "no sample above the silence threshold in the wanted seconds",
    Reason.NOT_FINITE: "samples that are NaN or infinite",
    Reason.CLIPPED: "too large a share of the samples stands at full scale, run after run",
    Reason.TIMED_OUT: "the file was not decoded within the time limit of a track",
    Reason.DECODER_DIED: "the decoder took its process down with it, twice",
    Reason.OUT_OF_MEMORY: "decoding the file needs more memory than a track is given",
    Reason.KNOWN_BAD: "the recipe's list of known-bad tracks names it",
    Reason.MISSING_FILE: "the source names a file that is not there",
    Reason.UNREADABLE: "the file is there and cannot be opened",
    Reason.OUTSIDE_SOURCE: "the path leads out of the source's folder",
    Reason.DUPLICATE_ID: "the source has another row with this id",
    Reason.DUPLICATE_RECORDING: "the same recording is already there under another id",
    Reason.INVALID_ROW: "the source's row cannot be read",
    Reason.NO_TAGS: "no tag is left after cleaning, and there is no caption",
    Reason.NO_LISTENERS: "the track is not in the listening data that the recipe asks for",
    Reason.TAG_COUNT_OVER_LIMIT: "more tags than the recipe allows on one track",
    Reason.TAG_NOT_MUSICAL: "the tag says nothing about the music",
    Reason.TAG_BELOW_MIN_TRACKS: "the tag's group is on fewer tracks than the recipe asks for",
    Reason.TAG_RARE_IN_A_SPLIT: "the tag is on fewer tracks of a published split than the recipe asks for",
    Reason.CAPTION_TOO_SHORT: "the sentence has fewer words than the recipe asks for",
    Reason.CAPTION_TOO_LONG: "the sentence has more words than the recipe allows",
    Reason.CAPTION_NOISE: "the sentence reads like none about music: a pattern of the noise filter",
    Reason.NO_AUDIO: "the source knows of no sound for the track",
    Reason.MISMATCHED: "the source's list of wrong matches names the track",
    Reason.BRIDGES_ARTISTS: "the track ties artists into a group too large to split",
    Reason.ARTIST_IN_TWO_SPLITS: "the splits that are kept have the artist's older tracks in several",
    Reason.RECORDING_CANDIDATE: "it may be a recording that lies in another split",
    Reason.CONTAMINATED: "the track is in another dataset that this one must stay apart from",
    Reason.LONG_SCENE: "a scene of the video lasts longer than the recipe allows",
    Reason.UNAVAILABLE: "the video could not be fetched",
    Reason.INVALID_ID: "not an id of a video: eleven letters, digits, - and _",
    Reason.PRIVATE: "only those whom its maker lets in may see the video",
    Reason.REMOVED: "the video is gone",
    Reason.REGION_LOCKED: "the video may not be seen from here",
    Reason.AGE_RESTRICTED: "the video asks for an account that says how old one is",
    Reason.TOO_LONG: "the video is longer than the recipe allows",
    Reason.TOO_LARGE: "the file is larger than the recipe allows",
    Reason.NOT_VIDEO: "what stands at the address is no video",
    Reason.NETWORK: "the connection failed; the next build tries again",
    Reason.RATE_LIMITED: "the server asked for fewer requests; the next build tries again",
    Reason.PRIVATE_ADDRESS: "the address leads into a private network",
    Reason.STILL_IMAGE: "one picture that hardly moves",
    Reason.LYRIC_VIDEO: "a picture that stands still while small parts of it, as text, come and go",
    Reason.SLIDE_SHOW: "pictures that stand still, one after the other",
    Reason.BLACK_FRAMES: "more black frames than the recipe allows",
    Reason.NO_VIDEO_STREAM: "the file has no pictures",
    Reason.NO_AUDIO_STREAM: "the file has no sound",
    Reason.LENGTH_MISMATCH: "sound and pictures are not equally long",
}

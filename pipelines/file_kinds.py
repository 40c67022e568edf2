"""What a file is by its first bytes, in words for a person; never by its name."""

from __future__ import annotations

HEAD_BYTES = 512

# Audio and its containers by the suffixes that are right for each.
SUFFIXES_OF = {
    "MP3": frozenset({".mp3", ".mp2"}),
    "FLAC": frozenset({".flac"}),
    "WAV": frozenset({".wav", ".wave"}),
    "AIFF": frozenset({".aif", ".aiff", ".aifc"}),
    "Ogg Vorbis": frozenset({".ogg", ".oga"}),
    "Ogg Opus": frozenset({".opus", ".ogg", ".oga"}),
    "Ogg FLAC": frozenset({".oga", ".ogg"}),
    "MP4": frozenset({".m4a", ".mp4", ".m4b", ".m4v", ".mov", ".alac"}),
    "Matroska": frozenset({".mkv", ".mka", ".webm"}),
    "AAC": frozenset({".aac"}),
    "Windows Media": frozenset({".wma", ".wmv", ".asf"}),
}
USUAL_SUFFIX = {
    "MP3": ".mp3",
    "FLAC": ".flac",
    "WAV": ".wav",
    "AIFF": ".aiff",
    "Ogg Vorbis": ".ogg",
    "Ogg Opus": ".opus",
    "Ogg FLAC": ".oga",
    "MP4": ".m4a",
    "Matroska": ".mka",
    "AAC": ".aac",
    "Windows Media": ".wma",
}
_AUDIO = (
    (0, b"fLaC", "FLAC"),
    (0, b"FORM", "AIFF"),
    (28, b"\x01vorbis", "Ogg Vorbis"),
    (28, b"OpusHead", "Ogg Opus"),
    (28, b"\x7fFLAC", "Ogg FLAC"),
    (4, b"ftyp", "MP4"),
    (0, b"\x1aE\xdf\xa3", "Matroska"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
)
_OTHER = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG image"),
    (0, b"\xff\xd8\xff", "JPEG image"),
    (0, b"GIF8", "GIF image"),
    (8, b"WEBP", "WebP image"),
    (0, b"%PDF", "PDF document"),
    (0, b"PK\x03\x04", "ZIP archive"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"BZh", "bzip2 archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (0, b"Rar!", "RAR archive"),
    (0, b"\x7fELF", "program"),
    (0, b"SQLite format 3", "SQLite database"),
    (0, b"PAR1", "Parquet table"),
    (0, b"MThd", "MIDI file: notes, no sound"),
    (0, b"#EXTM3U", "playlist"),
    (0, b"version https://git-lfs", "Git LFS pointer: the file itself was not fetched"),
)
_HTML = (b"<!doctype html", b"<html")
_TEXT = bytes(range(32, 127)) + b"\t\n\r"


def audio_kind(head: bytes) -> str | None:
    """The key of `SUFFIXES_OF` that a file's first bytes tell, or None."""
    for place, mark, kind in _AUDIO:
        if head[place : place + len(mark)] == mark:
            return kind
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "WAV"
    # MPEG's sync word: layer 0 is AAC's, layer 1 is III, which is MP3's.
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        layer = head[1] >> 1 & 3
        return "AAC" if layer == 0 and head[1] & 0xF0 == 0xF0 else "MP3" if layer == 1 else None
    return None


def kind_of(head: bytes) -> str:
    """What a file is, in words, by its first `HEAD_BYTES` bytes."""
    if not head:
        return "zero bytes"
    if not any(head):
        return "zeros only"
    for place, mark, kind in _OTHER:
        if head[place : place + len(mark)] == mark:
            return kind
    found = audio_kind(head)
    if found is not None:
        return f"{found}, or what begins like it"
    if head.lstrip().lower().startswith(_HTML):
        return "HTML page"
    if not head.translate(None, _TEXT):
        return "text"
    return "no known kind of file"

"""Media that claim to be long, or are something else."""

from __future__ import annotations

import struct
from pathlib import Path

import pyarrow.parquet as pq

from tests.faults.bad_inputs.sandbox import RATE, Sandbox, kept_and_excluded, tone
from tests.faults.tally import share_of


def claims(folder: Path) -> dict[str, bytes]:
    """Small files that claim to be long, and files that are something else."""
    wav = tone(folder / "w.wav", 0.1).read_bytes()
    flac = bytearray(tone(folder / "f.flac", 3.0).read_bytes())
    ten_hours = 10 * 3600 * RATE
    # STREAMINFO: 36 bits of the number of samples end at byte 26.
    packed = int.from_bytes(flac[18:26], "big") & ~((1 << 36) - 1) | ten_hours
    flac[18:26] = packed.to_bytes(8, "big")
    mp3 = bytearray(tone(folder / "m.mp3", 3.0).read_bytes())
    ogg = bytearray(tone(folder / "o.ogg", 3.0).read_bytes())
    last = ogg.rfind(b"OggS")
    ogg[last + 6 : last + 14] = struct.pack("<q", ten_hours)
    aiff = bytearray(tone(folder / "a.aiff", 0.1).read_bytes())
    place = aiff.find(b"COMM")
    aiff[place + 10 : place + 14] = struct.pack(">I", ten_hours)
    xing = bytearray(417)
    xing[:4] = b"\xff\xfb\x90\x00"
    xing[36:52] = b"Xing\x00\x00\x00\x03" + struct.pack(">II", 1_500_000, 9000)
    box = b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A mp42"
    stsz = struct.pack(">I4sIII", 20, b"stsz", 0, 0, 0xFFFFFFFF)
    nested = b""
    for _ in range(300):
        nested = struct.pack(">I4s", len(nested) + 8, b"moov") + nested
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 50_000, 50_000, 8, 2, 0, 0, 0)
    files = {
        "hours.wav": wav[:40] + struct.pack("<I", 2 * ten_hours) + wav[44:],
        "hours-rf64.wav": b"RF64\xff\xff\xff\xffWAVEds64"
        + struct.pack("<IQQQI", 28, 1 << 40, 1 << 40, 1 << 38, 0)
        + wav[12:],
        "hours.flac": bytes(flac),
        "hours.ogg": bytes(ogg),
        "hours.aiff": bytes(aiff),
        "hours-xing.mp3": bytes(xing) + bytes(mp3[:8000]),
        "hours.m4a": box + struct.pack(">I4s", len(stsz) + 8, b"moov") + stsz,
        "nested.m4a": box + nested,
        "tags.mp3": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(mp3[:4000]),
        "tags.flac": b"fLaC\x84\xff\xff\xff" + bytes(flac[:4000]),
        "picture.mp3": png + bytes(2000),
        "picture.wav": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(2000),
        "gif.ogg": b"GIF89a\xff\xff\xff\xff" + bytes(500),
        "page.flac": b"<!DOCTYPE html><script>alert(1)</script>",
        "list.m4a": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "list.mp3": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
        "concat.wma": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "sdp.aac": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        "elf.webm": b"\x7fELF" + bytes(200),
        "matroska.mka": b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff" + bytes(300),
        "zip.opus": b"PK\x03\x04" + bytes(300),
        "rate.wav": wav[:24] + struct.pack("<I", 0) + wav[28:],
        "channels.wav": wav[:22] + struct.pack("<H", 65535) + wav[24:],
        "zero-block.wav": wav[:32] + struct.pack("<H", 0) + wav[34:],
        "opus.opus": b"OggS\x00\x02"
        + bytes(8)
        + struct.pack("<IIIB", 1, 0, 0, 1)
        + b"\x13OpusHead\x01\xff"
        + bytes(9),
    }
    for path in folder.iterdir():
        path.unlink()
    return files


def test_media(sandbox: Sandbox) -> None:
    """All in one folder, beside a piece that must come through; each is excluded, or heard as far as it goes."""
    files = claims(sandbox.fresh())
    music = sandbox.fresh()
    chosen = dict(list(files.items())[: share_of(len(files))])
    for name, content in chosen.items():
        assert len(content) < 250_000
        (music / name).write_bytes(content)
    tone(music / "good.wav")
    words = ["build", "folder", "--set", f"source.path={music}", "--track-timeout", "60", "--only", "features"]
    sandbox.run(*words, "--workers", "2", allowed=(0,), named=["good.wav", *chosen], rows=1 + len(chosen))
    why = {track: (reason, detail) for track, reason, detail in kept_and_excluded(sandbox.out)[1]}
    excluded = set(why)
    shards = sorted((sandbox.out / "features/ttmr").glob("*.parquet"))
    clips = [row for shard in shards for row in pq.read_table(shard, columns=["track_id", "frames"]).to_pylist()]
    kept = {row["track_id"] for row in clips}
    assert "good.wav" in kept
    for name in chosen:
        with sandbox.faults.plant("bad media", name) as fault:
            assert (name in excluded) != (name in kept), "lost, or both"
            if name in excluded:
                assert all(why[name]), f"it left without a reason: {why[name]}"
                fault.refused()
            else:
                assert name.split(".")[0] not in ("picture", "list", "page", "concat", "sdp"), "it is no sound"
                fault.recovered()

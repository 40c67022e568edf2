"""The peer's side of `benchmarks.features`, run by the peers' own interpreter; imports nothing of Tracklore.

`FOLDER OUT SECONDS` computes 128 mel bands at 16 kHz (64 ms windows, 10 ms hop) of every file of FOLDER by lhotse,
of the middle SECONDS or, with 0, of whole files, stores them below OUT, and prints the seconds taken.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import torch
from lhotse import CutSet, Fbank, FbankConfig, MonoCut, NumpyFilesWriter, Recording

RATE = 16_000


def cuts_of(folder: Path, seconds: float) -> CutSet:
    """A cut a file, of its first channel: less work than a mix."""
    cuts = []
    for path in sorted(folder.iterdir()):
        recording = Recording.from_file(path).resample(RATE)
        cut = MonoCut(recording.id, 0.0, recording.duration, 0, recording=recording)
        if seconds:
            cut = cut.truncate(offset=max(0.0, (recording.duration - seconds) / 2), duration=seconds)
        cuts.append(cut)
    return CutSet.from_cuts(cuts)


def main() -> None:
    """See the module."""
    folder, out, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    torch.set_num_threads(1)
    extractor = Fbank(FbankConfig(sampling_rate=RATE, num_mel_bins=128, frame_length=0.064, frame_shift=0.01))
    for _ in range(2):  # the first is a warm-up
        shutil.rmtree(out, ignore_errors=True)
        started = time.perf_counter()
        cuts_of(folder, seconds).compute_and_store_features(
            extractor=extractor, storage_path=out, num_jobs=1, storage_type=NumpyFilesWriter
        )
        taken = time.perf_counter() - started
    print(taken)


if __name__ == "__main__":
    main()

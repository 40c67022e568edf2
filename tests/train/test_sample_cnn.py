from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from train.models.audios import Heard
from train.models.audios.sample_cnn import LENGTHS, SampleCNN, Settings, new
from train.models.video_lstm import VideoLstm, projector


def of_length(samples: int = 98_415, **keys: object) -> SampleCNN:
    return new(Settings.model_validate(keys), Heard(samples, (-1,), lambda: (0.0, 1.0)))


@pytest.mark.parametrize("samples", LENGTHS)
def test_every_published_length_becomes_one_step_of_512(samples: int) -> None:
    encoder = of_length(samples).eval()
    assert encoder(torch.zeros(1, samples, dtype=torch.int16)).shape == (1, 512) == (1, encoder.width)
    # One step, and no sample unheard: the product of all strides is the input.
    strides: list[Any] = [part.stride[0] for part in encoder.modules() if isinstance(part, torch.nn.Conv1d)]
    strides += [part.kernel_size for part in encoder.modules() if isinstance(part, torch.nn.MaxPool1d)]
    assert math.prod(strides) == samples


def test_the_parameters_are_those_of_the_released_configuration() -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    def conv(before: int, after: int, kernel: int) -> int:
        return before * after * kernel + after + 2 * after

    channels = (128, 128, 128, 256, 256, 256, 256, 256, 512, 512)
    expected = conv(1, 128, 5) + conv(512, 512, 1)
    expected += sum(conv(a, b, 3) for a, b in itertools.pairwise(channels))
    encoder = of_length()
    assert count(encoder) == expected == 2_435_072
    assert count(encoder) + count(projector(512, 128)) == 2_762_752
    # Two more and two fewer weights a channel in the first convolution.
    assert count(of_length(59_049)) == expected - 2 * 128
    assert count(of_length(78_732)) == expected - 128


def test_blocks_are_ten_and_the_middle_ones_pool() -> None:
    encoder = of_length()
    assert len(encoder.blocks) == 11
    assert [any(isinstance(part, torch.nn.MaxPool1d) for part in block.children()) for block in encoder.blocks] == [
        False,
        *[True] * 9,
        False,
    ]


def test_int16_and_full_scale_floats_are_the_same_sound() -> None:
    encoder = of_length(54, first=2, pool=3, channels=(4, 4, 4), width=8).eval()
    waves = torch.randint(-32767, 32768, (3, 54), dtype=torch.int16)
    torch.testing.assert_close(encoder(waves), encoder(waves.float() / 32767))


def test_a_length_that_the_structure_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="crops of 60,000 samples need first, pool and channels"):
        of_length(60_000)
    with pytest.raises(ValueError, match="take 54 samples, and crops have 55"):
        of_length(55, first=2, pool=3, channels=(4, 4, 4))
    with pytest.raises(ValueError, match="name a feature of kind: waveform"):
        new(Settings(), Heard(98_415, (-1, 128), lambda: (0.0, 1.0)))


def test_video_seconds_become_one_vector_that_hears_their_order() -> None:
    torch.manual_seed(0)
    model = VideoLstm(16, 6, 512, layers=2, dropout=0.1).eval()
    vectors = torch.randn(2, 6, 16).half()
    made = model(vectors)
    assert made.shape == (2, 512) and (made >= 0).all()
    assert not torch.allclose(made, model(vectors.flip(1)))
    published = VideoLstm(512, 6, 512, layers=2, dropout=0.1)
    lstm = 2 * 4 * 512 * (512 + 512 + 2)
    assert sum(p.numel() for p in published.parameters()) == lstm + 6 * 512 * 512 + 512


def test_the_layers_are_those_of_a_stacked_lstm() -> None:
    torch.manual_seed(0)
    model = VideoLstm(16, 6, 8, layers=2, dropout=0.1).eval()
    stacked = torch.nn.LSTM(16, 16, 2, batch_first=True)
    for number, layer in enumerate(model.over_time):
        for name, parameter in layer.named_parameters():
            getattr(stacked, name.replace("_l0", f"_l{number}")).data.copy_(parameter.data)
    vectors = torch.randn(3, 6, 16)
    expected = model.joined(stacked(vectors)[0].flatten(1)).relu()
    torch.testing.assert_close(model(vectors), expected)

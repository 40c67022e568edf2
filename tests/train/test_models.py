"""Shapes, bounds and standardisation of the encoders; the vocabulary."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UsageError
from train.data.loader import ahead
from train.data.vocabulary import learn_pieces, prepared, train_wordpiece, unknown_only
from train.loop.schedule import lr_factor
from train.models.audios.ttmr import AudioEncoder
from train.models.norm import GlobalBatchNorm2d
from train.models.texts import Words
from train.models.texts import glove as glove_text
from train.models.texts import tags as tags_text
from train.models.texts.glove import read_glove
from train.models.texts.pretrained import load_pretrained
from train.recipe import load_recipe
from train.tasks.text_audio.recipe import TextAudioRecipe


def encoder(frames: int = 32, mean: float = 0.0, std: float = 1.0) -> AudioEncoder:
    """A small encoder of 16 bands."""
    torch.manual_seed(0)
    return AudioEncoder(
        frames=frames,
        bands=16,
        channels=[4, 8],
        pools=[(2, 2), (2, 2)],
        input_pool=(1, 1),
        width=16,
        layers=1,
        heads=2,
        feed_forward=16,
        dropout=0.1,
        mean=mean,
        std=std,
    ).eval()


def test_the_input_is_standardised_by_numbers_that_travel_with_the_weights() -> None:
    mels = torch.randn(3, 32, 16)
    plain, shifted = encoder(), encoder(mean=-60.0, std=7.0)
    torch.testing.assert_close(shifted(mels * 7 - 60), plain(mels), rtol=1e-4, atol=1e-4)
    plain.load_state_dict(shifted.state_dict())
    torch.testing.assert_close(plain(mels * 7 - 60), shifted(mels * 7 - 60))
    assert plain(mels).shape == (3, 16)
    assert plain(mels.half()).dtype == torch.float32


def test_a_crop_too_short_for_the_pools_is_refused() -> None:
    with pytest.raises(ValueError, match="pooling leaves 4 bands and 0 steps"):
        encoder(frames=3)


def test_the_published_encoder_has_the_published_shape() -> None:
    recipe = load_recipe("ttmr")
    assert isinstance(recipe, TextAudioRecipe)
    model = recipe.model
    with torch.device("meta"):
        net = AudioEncoder(
            frames=992,
            bands=128,
            mean=0,
            std=1,
            **model.audio.model_dump(exclude={"kind"}),
        )
    assert net.positions.shape == (63, 256)  # 992 frames over 2⁴, and CLS
    assert net.project_in.in_features == 128 * 8
    assert (net.width, model.embedding) == (256, 128)
    assert len(net.transformer.layers) == 4


def test_on_one_process_batch_norm_is_pytorchs() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 5, 5)
    ours, theirs = GlobalBatchNorm2d(3), torch.nn.BatchNorm2d(3)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_weights_that_are_nowhere_end_in_a_way_out() -> None:
    with pytest.raises(UsageError, match=r"no folder \./no-such-bert.*--set model.text.name=PATH"):
        load_pretrained("./no-such-bert")


def test_a_pretrained_encoder_loads_from_a_local_path(tiny_bert: Path) -> None:
    from transformers import AutoModel

    loaded = load_pretrained(str(tiny_bert))
    assert loaded.config["model_type"] == "bert" and "_name_or_path" not in loaded.config
    assert loaded.tokenizer.encode("calm piano").tokens == ["[CLS]", "calm", "piano", "[SEP]"]
    name, model = "embeddings.word_embeddings.weight", AutoModel.from_pretrained(str(tiny_bert))
    torch.testing.assert_close(loaded.body.state_dict()[name], model.state_dict()[name])
    assert not any("pooler" in name for name, _ in loaded.body.named_parameters())


def glove(folder: Path, *lines: str) -> str:
    """A file in GloVe's format."""
    (folder / "glove.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(folder / "glove.txt")


def words_of(*said: str) -> Words:
    return Words(said, (), 100, 64)


def test_a_glove_text_is_the_mean_of_its_projected_words(tmp_path: Path) -> None:
    file = glove(tmp_path, "the 1 0 0", ", 0 1 0", "rare 5 5 5", "hip-hop 1 2 4", "café 0 -1 3", "jazz 2 0 1")
    made = glove_text.new(glove_text.Settings(file=file, words=1), words_of("Hip-Hop, café", "jazz"), 4)
    assert made.config == {"words": 4, "width": 3}  # the first line, and what is said; not what is rare
    encoder, tokenizer = made.encoder, prepared(made.tokenizer, 64)
    assert isinstance(encoder, glove_text.GloveEncoder)
    encoded = tokenizer.encode_batch(["hip-hop, CAFÉ", "jazz unheard-of", "rare"])
    ids, mask = (torch.tensor([getattr(e, key) for e in encoded]) for key in ("ids", "attention_mask"))
    with torch.inference_mode():
        found = encoder(ids, mask)
        vectors = torch.tensor([[1.0, 2, 4], [0, -1, 3], [2, 0, 1]])
        each = encoder.project(encoder.norm(vectors))
    torch.testing.assert_close(found, torch.stack([each[:2].mean(0), each[2], torch.zeros(4)]))
    assert [name for name, _ in encoder.named_parameters()] == ["norm.weight", "norm.bias", "project.weight"]
    other = glove_text.again(made.config, 4)
    other.load_state_dict(encoder.state_dict())  # what a run holds is all that it takes
    torch.testing.assert_close(other(ids, mask), found)


def test_a_word_with_spaces_is_read_from_the_right(tmp_path: Path) -> None:
    words, vectors = read_glove(glove(tmp_path, "a 1 2", ". . . 3 4", "b 5 6"), {". . .", "b"}, 1)
    assert words == ["a", ". . .", "b"] and vectors.tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a 1 2", "b 1 x"], "line 2 is not a word and 2 numbers"),
        (["a 1 2", "b nan 1"], "line 2 is not a word and 2 numbers"),
        (["a", "b"], "line 1 is not a word and 0 numbers"),
        (["x 1 2", "y 1 2"], "holds none of the dataset's words"),
    ],
)
def test_another_file_than_gloves_is_refused(lines: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read_glove(glove(tmp_path, *lines), {"a", "b"}, 5)
    with pytest.raises(UsageError, match=r"is required; give GloVe's text file by --set model\.text\.file=FILE"):
        read_glove(None, {"a"}, 5)
    with pytest.raises(UsageError, match="cannot be read"):
        read_glove(str(tmp_path / "nowhere.txt"), {"a"}, 5)


def test_the_score_of_a_centroid_is_its_dot_product() -> None:
    made = tags_text.new(tags_text.Settings(), Words((), ("Rock", "hip hop", "jazz"), 100, 64), 6)
    tokenizer = prepared(made.tokenizer, 64)
    encoded = tokenizer.encode_batch(["hip hop", "rock", "polka"])
    ids, mask = (torch.tensor([getattr(e, key) for e in encoded]) for key in ("ids", "attention_mask"))
    found = made.encoder(ids, mask)
    weights = dict(made.encoder.named_parameters())["centroids"]  # in the order of the sorted tags
    torch.testing.assert_close(found, torch.stack([weights[0], weights[2], torch.zeros(6)]))
    assert not made.encoder.unit


TEXTS = ["calm piano", "Loud Drums, fast", "lo-fi hip hop", "café del mar", "80s synth pop"] * 3


def test_a_vocabulary_depends_on_its_texts_alone() -> None:
    here = train_wordpiece(TEXTS, 80).to_str()
    assert train_wordpiece(reversed(TEXTS), 80).to_str() == here
    program = f"from train.data.vocabulary import train_wordpiece as t; print(t({TEXTS!r}, 80).to_str())"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(Path.cwd())}
    there = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here


def test_pieces_are_letters_then_the_most_frequent_joins() -> None:
    assert learn_pieces(Counter({"aab": 3, "ab": 5}), 5) == ["##a", "##b", "a", "ab", "##ab"]
    assert learn_pieces(Counter({"aab": 3, "ab": 5}), 99)[-1] == "aab"
    assert learn_pieces(Counter({"z": 9, "y": 1, "x": 1}), 2) == ["x", "z"]


@given(texts=st.lists(st.text("abc éあ-,1", max_size=12), max_size=6), size=st.integers(30, 60))
def test_a_large_enough_vocabulary_knows_its_own_texts(texts: list[str], size: int) -> None:
    tokenizer = train_wordpiece(texts, size)
    assert tokenizer.get_vocab_size() <= size
    for text in texts:
        assert "[UNK]" not in tokenizer.encode(text).tokens


def test_texts_are_cut_padded_and_known() -> None:
    tokenizer = prepared(train_wordpiece(TEXTS, 200), 6)
    short, long = tokenizer.encode_batch(["piano", "piano piano piano piano piano piano piano"])
    assert len(short.ids) == len(long.ids) == 6
    assert short.tokens[:3] == ["[CLS]", "piano", "[SEP]"] and set(short.tokens[3:]) == {"[PAD]"}
    assert sum(short.attention_mask) == 3
    assert tokenizer.encode("PIANO").ids == tokenizer.encode("piano").ids
    assert unknown_only(tokenizer, "日本") and not unknown_only(tokenizer, "日本 piano")


@given(steps=st.integers(0, 30), threads=st.integers(1, 4), depth=st.integers(1, 6))
def test_reading_ahead_keeps_the_order(steps: int, threads: int, depth: int) -> None:
    assert list(ahead(lambda n: n * n, range(3, 3 + steps), threads=threads, depth=depth)) == [
        n * n for n in range(3, 3 + steps)
    ]


def test_reading_ahead_raises_in_its_place_and_no_earlier() -> None:
    def make(step: int) -> int:
        if step == 4:
            raise KeyError("four")
        return step

    seen = []
    with pytest.raises(KeyError, match="four"):
        for step in ahead(make, range(10), threads=3, depth=5):
            seen.append(step)  # noqa: PERF402 - what came before the error is the point
    assert seen == [0, 1, 2, 3]


def test_the_learning_rate_warms_up_and_falls() -> None:
    factors = [lr_factor(step, warmup=10, total=100, final=0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[9] == factors[10] == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(factors[10:]))
    assert factors[10 + 89 // 2] == pytest.approx(0.55, abs=0.02)

"""S3D against the published network: names, weights, outputs; the fast form; random weights."""

import json
import zlib

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, interpolate

from mmpt.errors import CheckpointError, DataError
from mmpt.models.s3d_clips import ClipNetwork, cells_of
from mmpt.models.s3d_weights import load_s3d, random_s3d, save_random
from mmpt.models.s3dg import S3D, read_words, space_to_depth
from mmpt.processors.models import s3dg as published_path


def drawn(name, count):
    """The numbers in [-1, 1) that stored weights and inputs are made of: a hash of their places."""
    place = np.arange(count, dtype=np.uint64) + zlib.crc32(f"norton-golden:{name}".encode())
    mixed = place.astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        mixed ^= mixed >> np.uint32(shift)
        mixed *= np.uint32(factor)
    return mixed / 2**32 * 2 - 1


def written_rule(name, value):
    """The stored network's tensor of that name."""
    draw = drawn(name, value.numel()).reshape(tuple(value.shape))
    if name.endswith("running_var"):
        draw = 1 + 0.5 * draw
    elif name.endswith(("running_mean", "bias")):
        draw = 0.1 * draw
    elif ".bn" in name:
        draw = 1 + 0.1 * draw
    elif value.dim() == 5:
        draw = draw * np.sqrt(6 / value[0].numel())
    elif "word_embd" not in name:
        draw = draw * np.sqrt(3 / value.shape[1])
    return torch.from_numpy(draw.astype(np.float32))


@pytest.fixture(scope="module")
def folder(golden_dir):
    return golden_dir / "models_data"


@pytest.fixture(scope="module")
def stored(golden):
    return golden("models_data/s3d.npz")


@pytest.fixture(scope="module")
def described(folder):
    return json.loads((folder / "s3d.json").read_text())


@pytest.fixture(scope="module")
def model(folder):
    built = S3D(folder / "s3d_dict.npy", 512).eval()
    state = built.state_dict()
    counters = {n: v for n, v in state.items() if n.endswith("num_batches_tracked")}
    drawn_state = {n: written_rule(n, v) for n, v in state.items() if n not in counters}
    built.load_state_dict({**drawn_state, **counters})
    return built


def pixels(stored, name):
    if name == "input":
        return torch.from_numpy(stored["input_uint8"])
    shape = (2, 3, 6, 96, 64)
    bytes_ = np.clip(np.floor((drawn(name, int(np.prod(shape))) + 1) * 128), 0, 255)
    return torch.from_numpy(bytes_.reshape(shape).astype(np.uint8))


@pytest.fixture(scope="module")
def clips():
    """12 different clips, uint8 [12, 8, 32, 32, 3]."""
    small = torch.rand(12, 3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    smooth = interpolate(small, (8, 32, 32), mode="trilinear")
    return (255 * smooth).byte().permute(0, 2, 3, 4, 1).contiguous()


def test_names_and_shapes_are_those_of_the_public_weights(model, folder):
    wanted = json.loads((folder / "s3d_keys.json").read_text())
    got = model.state_dict()
    assert {n: list(v.shape) for n, v in got.items()} == {n: w["shape"] for n, w in wanted.items()}
    assert list(got) == list(wanted)


def test_the_published_path_has_the_same_class():
    assert published_path.S3D is S3D


@pytest.mark.parametrize(("name", "suffix"), [("input", ""), ("input2", "_input2")])
@pytest.mark.parametrize("output", ["video_embedding", "mixed_5c"])
def test_equals_the_stored_outputs(model, stored, name, suffix, output):
    with torch.no_grad():
        got = model(pixels(stored, name).float() / 255)[output]
    assert np.abs(got.numpy() - stored[output + suffix]).max() < 1e-6


def test_stages_equal_the_stored_ones(model, stored, described):
    with torch.no_grad():
        x = model.conv1(space_to_depth(pixels(stored, "input").float() / 255))
        for name, stats in described["stats"].items():
            if name != "conv1":
                x = getattr(model, name)(x[:, :, 1:, 1:, 1:] if name == "maxpool_2a" else x)
            assert list(x.shape) == stats["shape"], name
            assert np.allclose(x.flatten()[:8], stored[f"first8.{name}"], atol=1e-5), name
            assert abs(float(x.mean()) - stats["mean"]) < 1e-5, name


def test_the_text_half_equals_the_stored_one(model, stored, described):
    sentences = described["sentences"]
    assert (model.text_module.token_ids(sentences).numpy() == stored["text_ids"]).all()
    with torch.no_grad():
        got = model.text_module(sentences)["text_embedding"]
    assert np.abs(got.numpy() - stored["text_embedding"]).max() < 1e-5


@pytest.mark.parametrize(
    "shape", [(1, 3, 7, 32, 32), (1, 3, 8, 33, 32), (3, 8, 32, 32), (1, 1, 8, 32, 32)]
)
def test_odd_clips_are_refused(model, shape):
    with pytest.raises(DataError, match="even numbers of frames"):
        model(torch.zeros(shape))


def test_the_fast_form_gives_the_same_vectors(model, clips):
    with torch.no_grad():
        wanted = model(clips[:3].permute(0, 4, 1, 2, 3) / 255)["video_embedding"]
        got = ClipNetwork(model)(clips[:3])
    assert (1 - cosine_similarity(got.double(), wanted.double())).max() < 1e-10
    assert model.text_module is not None


def test_cells_are_space_to_depth_of_channels_last(clips):
    assert torch.equal(cells_of(clips), space_to_depth(clips.permute(0, 4, 1, 2, 3)))


def test_a_vector_depends_on_nothing_but_its_clip(model, clips):
    network = ClipNetwork(model)
    together = network(clips[:4])
    assert torch.equal(network(clips[:4].flip(0)).flip(0), together)
    assert torch.equal(network(torch.cat([clips[2:3], clips[4:7]]))[0], together[2])


def test_random_weights_tell_clips_apart_and_come_back_from_their_file(clips, tmp_path, caplog):
    model = random_s3d(3, clips[:8])
    vectors = ClipNetwork(model)(clips)
    unseen = torch.nn.functional.normalize(vectors[8:], dim=-1)
    assert (unseen @ unseen.T).fill_diagonal_(0).abs().max() < 0.8
    assert torch.equal(ClipNetwork(random_s3d(3, clips[:8]))(clips), vectors)
    assert not torch.equal(ClipNetwork(random_s3d(4, clips[:8]))(clips), vectors)
    save_random(model, 3, tmp_path / "random.pth")
    loaded = load_s3d(tmp_path / "random.pth")
    assert torch.equal(ClipNetwork(loaded)(clips), vectors)
    assert "RANDOM WEIGHTS (seed 3)" in caplog.text


def test_a_file_of_public_names_loads_with_and_without_its_text_half(model, folder, tmp_path):
    torch.save(model.state_dict(), tmp_path / "s3d.pth")
    whole = load_s3d(tmp_path / "s3d.pth", folder / "s3d_dict.npy")
    assert torch.equal(whole.text_module.fc2.bias, model.text_module.fc2.bias)
    video_half = load_s3d(tmp_path / "s3d.pth")
    assert video_half.text_module is None
    assert torch.equal(video_half.fc.weight, model.fc.weight)


def test_missing_weights_and_those_of_another_network_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"section 'S3D'.*extract --random-weights"):
        load_s3d(tmp_path / "none.pth")
    torch.save({"fc.bias": torch.zeros(512)}, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match="is not of S3D: it lacks"):
        load_s3d(tmp_path / "part.pth")
    torch.save({"fc.bias": torch.zeros(7)}, tmp_path / "shape.pth")
    with pytest.raises(CheckpointError, match="of another model"):
        load_s3d(tmp_path / "shape.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_s3d(tmp_path / "cut.pth")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (np.arange(3), "expected one array of words"),
        (np.array([["a"]]), "expected one array of words"),
        (np.array(["a"], dtype=object), "truncated or no array of words"),
        (np.full(66_250, "a"), "66250 words; the table has room for 66249"),
    ],
)
def test_what_is_no_dictionary_is_refused(tmp_path, content, line):
    np.save(tmp_path / "words.npy", content, allow_pickle=True)
    with pytest.raises(DataError, match=line):
        read_words(tmp_path / "words.npy")


def test_a_missing_dictionary_says_where_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"DATASET\.md, section 'S3D'"):
        S3D(tmp_path / "s3d_dict.npy")

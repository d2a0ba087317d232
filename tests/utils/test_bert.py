"""Where a BERT comes from: a folder, the hub, or a line that says why it comes from neither."""

import http.server
import json
import os
import shutil
import threading
import time

import pytest
import torch
from huggingface_hub import constants
from transformers import BertForPreTraining

from mmpt.errors import DataError
from mmpt.models.bert import bert_config, load_bert
from mmpt.utils.bert import from_pretrained, load_tokenizer, why_no_hub


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine that has nothing; its address and the requests that it got."""
    asked = []

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_error(404)

        do_GET = do_HEAD

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Empty)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server, asked
    server.shutdown()
    server.server_close()


def test_a_hub_that_answers_is_asked(hub):
    _, asked = hub
    assert why_no_hub("bert-base-uncased") is None
    assert len(asked) == 1
    loads = []

    def load(source, local_files_only=False):
        loads.append(local_files_only)
        raise OSError("no such model\nand a long explanation")

    with pytest.raises(DataError, match=r"no config for 'x/y'.*the hub has none \(no such model\)"):
        from_pretrained(load, "x/y", "config")
    assert loads == [True, False]


def test_a_hub_that_is_out_of_reach_is_not_asked_again_and_again(hub):
    server, asked = hub
    server.shutdown()
    server.server_close()
    start = time.monotonic()
    with pytest.raises(
        DataError, match=r"the hub at http://127.0.0.1:\d+ cannot be reached \(.*put"
    ):
        load_tokenizer("org/no-such-bert")
    assert time.monotonic() - start < 10 and asked == []


def test_offline(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in why_no_hub("bert-base-uncased")
    assert hub[1] == []


@pytest.mark.parametrize("name", ["/models/bert", "models/of/mine", "../bert", "bert base"])
def test_a_path_is_no_hub_name(hub, name):
    assert "OWNER/NAME" in why_no_hub(name)
    with pytest.raises(DataError, match=r"no tokenizer for .*OWNER/NAME"):
        load_tokenizer(name)
    assert hub[1] == []


# ---- folders that are damaged -----------------------------------------------------------------


@pytest.fixture
def folder(tinybert, tmp_path):
    load_tokenizer.cache_clear()
    return shutil.copytree(tinybert, tmp_path / "own")


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def with_setting(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def with_words(edit):
    def change(folder):
        path = folder / "vocab.txt"
        path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n")

    return change


def with_weights(edit):
    def change(folder):
        path = folder / "pytorch_model.bin"
        torch.save(edit(torch.load(path, weights_only=True)), path)

    return change


def pipe(name):
    def change(folder):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


def without(*parts):
    return with_weights(lambda w: {k: v for k, v in w.items() if not any(p in k for p in parts)})


BAD_TOKENIZERS = {
    "tokenizer.json is no JSON file (": write("tokenizer.json", "hello"),
    "no usable tokenizer in the folder {folder} (KeyError(": write("tokenizer.json", "{}"),
    "tokenizer_config.json holds a list, not a JSON object": write("tokenizer_config.json", "[]"),
    "special_tokens_map.json holds a list": write("special_tokens_map.json", "[]"),
    "config.json holds a list, not a JSON object": write("config.json", "[]"),
    "config.json is a pipe, no JSON file": pipe("config.json"),
    "{folder} holds no config.json": lambda folder: (folder / "config.json").unlink(),
    "vocab.txt is a pipe, no vocabulary": pipe("vocab.txt"),
    "{folder} holds no tokenizer.json or vocab.txt": lambda f: (f / "vocab.txt").unlink(),
    "no usable tokenizer in the folder {folder} (Special token cls_token": write(
        "tokenizer_config.json", '{"cls_token": 5}'
    ),
    "(Validation error for field 'vocab_size': TypeError: ": with_setting(vocab_size="many"),
    "vocab.txt lacks [CLS], [SEP], which": with_words(
        lambda words: [word for word in words if word not in ("[CLS]", "[SEP]")]
    ),
    "vocab.txt lacks [PAD], which": with_words(lambda words: words[1:]),
    "vocab.txt lacks [UNK], which": with_words(lambda words: [words[0], *words[2:]]),
    "vocab.txt has ids up to 184, the model has embeddings for 183 words": with_words(
        lambda words: [*words, "more", "words"]
    ),
}


@pytest.mark.parametrize("message", BAD_TOKENIZERS)
def test_a_tokenizer_that_is_damaged_or_of_another_model(message, folder):
    BAD_TOKENIZERS[message](folder)
    with pytest.raises(DataError) as caught:
        load_tokenizer(str(folder))
    said = str(caught.value)
    assert message.format(folder=folder) in said and str(folder) in said
    assert said.startswith("dataset.bert_name: ") and "\n" not in said


def test_special_tokens_of_a_tokenizer_file_are_looked_up_in_it(folder):
    load_tokenizer(str(folder)).backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").unlink()
    load_tokenizer.cache_clear()
    assert load_tokenizer(str(folder)).cls_token_id == 2
    content = json.loads((folder / "tokenizer.json").read_text())
    del content["model"]["vocab"]["[CLS]"]
    content["added_tokens"] = [e for e in content["added_tokens"] if e["content"] != "[CLS]"]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    load_tokenizer.cache_clear()
    with pytest.raises(DataError, match=r"own/tokenizer\.json lacks \[CLS\], which"):
        load_tokenizer(str(folder))


def test_a_vocabulary_that_is_cut_short_is_mentioned(folder, caplog):
    with_words(lambda words: words[:100])(folder)
    load_tokenizer(str(folder))
    assert "vocab.txt has 100 words, the model embeddings for 183: is it cut short?" in caplog.text
    load_tokenizer.cache_clear()
    caplog.clear()
    with_setting(vocab_size=128)(folder)  # rows up to a round number are usual
    load_tokenizer(str(folder))
    assert caplog.text == ""


BAD_MODELS = {
    "num_hidden_layers is -1; allowed: 1 and more": with_setting(num_hidden_layers=-1),
    "hidden_size is 33; it must be a multiple of num_attention_heads, 4": with_setting(
        hidden_size=33
    ),
    "hidden_act 'foo' is unknown": with_setting(hidden_act="foo"),
    "67 tensors of the weights do not fit config.json: embeddings.LayerNorm.bias is [32] in the "
    "file and [64] by config.json": with_setting(hidden_size=64),
    "no usable weights pytorch_model.bin in the folder {folder} (KeyError(101))": write(
        "pytorch_model.bin", "hello"
    ),
    "no usable weights pytorch_model.bin in the folder {folder} (EOFError())": write(
        "pytorch_model.bin", ""
    ),
    "no usable weights model.safetensors in": write("model.safetensors", "hello"),
    "no usable weights pytorch_model.bin": with_weights(lambda weights: [1]),
    "the weights lack 69 tensors of BERT, first ": with_weights(lambda w: {"a": torch.ones(1)}),
    "the weights lack 1 tensors of BERT, first embeddings.position_embeddings.weight": without(
        "position_embeddings"
    ),
    "pytorch_model.bin is a pipe, no weights": pipe("pytorch_model.bin"),
    "model.safetensors is a pipe, no weights": pipe("model.safetensors"),
}


@pytest.mark.parametrize("message", BAD_MODELS)
def test_a_model_that_is_damaged(message, folder):
    BAD_MODELS[message](folder)
    with pytest.raises(DataError) as caught:
        load_bert(str(folder), bert_config(str(folder)))
    said = str(caught.value)
    assert message.format(folder=folder) in said and str(folder) in said
    assert said.startswith("dataset.bert_name: ") and "\n" not in said


def test_parts_that_a_bert_may_lack_are_named(folder, caplog):
    load_bert(str(folder), bert_config(str(folder)), BertForPreTraining)
    assert caplog.text == ""
    without("pooler", "cls.")(folder)
    load_bert(str(folder), bert_config(str(folder)))
    assert "not in the weights, random at the start: pooler.dense.bias, pooler.d" in caplog.text


def test_the_files_of_a_name_in_the_hubs_cache_may_be_damaged_too():
    def load(source, local_files_only=False):
        raise KeyError(101)

    with pytest.raises(DataError, match=r"no weights for 'x/y'.*cache is damaged \(KeyError\(101"):
        from_pretrained(load, "x/y", "weights")

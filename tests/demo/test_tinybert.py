"""The tiny BERT is what transformers takes for a BERT, and what the text shards were made with."""

import json

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from mmpt.demo.tinybert import SPECIAL_TOKENS, bert_shapes, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return AutoTokenizer.from_pretrained(str(corpus / "tinybert"))


def test_loads_whole(corpus):
    model, report = BertModel.from_pretrained(str(corpus / "tinybert"), output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    words = model.embeddings.word_embeddings.weight
    assert words[0].abs().max() == 0
    assert words[1:].std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(("layers", "width"), [(1, 8), (3, 24)])
def test_shapes_are_berts(layers, width):
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=4 * width,
        num_attention_heads=2,
        vocab_size=30,
    )
    expected = {name: tuple(value.shape) for name, value in BertModel(config).state_dict().items()}
    assert bert_shapes(config.to_dict()) == expected


def test_reads_text(corpus, tokenizer):
    model = BertModel.from_pretrained(str(corpus / "tinybert")).eval()
    batch = tokenizer(["Chop the onion.", "We saw"], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    assert states.shape[::2] == (2, 16)
    assert torch.isfinite(states).all()


def test_special_tokens(corpus, tokenizer):
    vocabulary = (corpus / "tinybert/vocab.txt").read_text().splitlines()
    config = json.loads((corpus / "tinybert/config.json").read_text())
    assert tuple(vocabulary[:5]) == SPECIAL_TOKENS
    assert len(vocabulary) == len(set(vocabulary)) == config["vocab_size"] == len(tokenizer)
    ids = tokenizer("chop it")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id == 2
    assert ids[-1] == tokenizer.sep_token_id == 3
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id) == (0, 1, 4)


def test_round_trip(truth, tokenizer):
    for video in list(truth["how2"]["train"].values())[:5]:
        for said in video["captions"]:
            ids = tokenizer(said["text"], add_special_tokens=False)["input_ids"]
            assert tokenizer.decode(ids).replace(" .", ".") == said["text"].lower()


def test_words_of_the_corpus_are_whole_and_others_in_pieces(truth, tokenizer):
    """Pieces inside words are ordinary entries: a special one would be found in any text."""
    for step in truth["steps"]:
        assert tokenizer.tokenize(step["verb"]) == [step["verb"]]
        assert tokenizer.tokenize(step["object"]) == [step["object"]]
    pieces = tokenizer.tokenize("Zyzzq")
    assert len(pieces) > 1
    assert all(piece.startswith("##") for piece in pieces[1:])
    assert tokenizer.tokenize("##a")[0] == "[UNK]"


def test_limit_of_the_vocabulary():
    small = train_tokenizer(["alpha beta alpha"] * 3, limit=5 + 36 + 36 + 2)
    assert small.get_vocab_size() == 79
    assert small.decode(small.encode("alphabet beta").ids) == "alphabet beta"

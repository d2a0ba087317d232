"""A tiny BERT in Hugging Face layout: a tokenizer trained on the corpus' words, random weights."""

import json
import string
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer

from mmpt.demo.settings import CorpusSettings, stream

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_POSITIONS = 512
VOCABULARY_LIMIT = 1500
INITIALIZER_RANGE = 0.02


def train_tokenizer(texts: Iterable[str], limit: int = VOCABULARY_LIMIT) -> Tokenizer:
    """An uncased WordPiece tokenizer, the same in every process for the same texts.

    Left to itself the trainer numbers the pieces inside words by the order of a randomly seeded
    hash table, and that order decides ties between merges.  Naming these pieces beforehand fixes
    their numbers.

    Args:
        texts: what the words are learnt from.
        limit: largest number of entries.
    """
    letters = string.ascii_lowercase + string.digits
    learner = _bert_tokenizer(WordPiece(unk_token="[UNK]"))
    learner.train_from_iterator(
        texts,
        WordPieceTrainer(
            vocab_size=limit,
            special_tokens=[*SPECIAL_TOKENS, *(f"##{letter}" for letter in letters)],
            initial_alphabet=list(letters),
            show_progress=False,
        ),
    )
    # built anew from the entries, so that the pieces are ordinary tokens, not special ones
    tokenizer = _bert_tokenizer(WordPiece(learner.get_vocab(), unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = WordPieceDecoder()
    return tokenizer


def write_tinybert(folder: Path, tokenizer: Tokenizer, settings: CorpusSettings) -> None:
    """Writes config.json, vocab.txt, tokenizer.json, tokenizer_config.json, model.safetensors.

    The weights are BERT's own initialisation, drawn from the corpus' seed: normal with standard
    deviation `initializer_range`, zero biases and padding row, LayerNorms 1 and 0.
    """
    folder.mkdir(parents=True)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    config = {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": settings.bert_hidden,
        "initializer_range": INITIALIZER_RANGE,
        "intermediate_size": 4 * settings.bert_hidden,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": MAX_POSITIONS,
        "model_type": "bert",
        "num_attention_heads": settings.bert_heads,
        "num_hidden_layers": settings.bert_layers,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": len(vocabulary),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in vocabulary))
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer_config = {
        "cls_token": "[CLS]",
        "do_lower_case": True,
        "mask_token": "[MASK]",
        "model_max_length": MAX_POSITIONS,
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "tokenizer_class": "BertTokenizer",
        "unk_token": "[UNK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=1) + "\n")
    rng = stream(settings.seed, "tinybert")
    weights = {name: _initial(name, shape, rng) for name, shape in bert_shapes(config).items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def bert_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of a Hugging Face `BertModel` with this config."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {}

    def add_norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)

    def add_linear(name: str, into: int, out: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, into), (out,)

    shapes["embeddings.word_embeddings.weight"] = (config["vocab_size"], width)
    shapes["embeddings.position_embeddings.weight"] = (config["max_position_embeddings"], width)
    shapes["embeddings.token_type_embeddings.weight"] = (config["type_vocab_size"], width)
    add_norm("embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            add_linear(f"{layer}.attention.self.{part}", width, width)
        add_linear(f"{layer}.attention.output.dense", width, width)
        add_norm(f"{layer}.attention.output.LayerNorm")
        add_linear(f"{layer}.intermediate.dense", width, inner)
        add_linear(f"{layer}.output.dense", inner, width)
        add_norm(f"{layer}.output.LayerNorm")
    add_linear("pooler.dense", width, width)
    return shapes


def _initial(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name.endswith(".bias"):
        return np.zeros(shape, dtype=np.float32)
    if name.endswith("LayerNorm.weight"):
        return np.ones(shape, dtype=np.float32)
    values = rng.standard_normal(shape, dtype=np.float32) * np.float32(INITIALIZER_RANGE)
    if name == "embeddings.word_embeddings.weight":
        values[0] = 0  # [PAD]
    return values


def _bert_tokenizer(model: WordPiece) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer

"""The YAML file of the tokenisation: VideoCLIP's four keys, and ours."""

from dataclasses import dataclass, replace
from pathlib import Path

from mmpt.config.keys import key
from mmpt.errors import ConfigError
from mmpt.io.settings_file import read_settings_file
from mmpt.sharding.layout import SPLITS, meta_path

REQUIRED = ("bert_name", "caption_pkl_path", "target_dir")
EXAMPLE = "scripts/text_token_extractor/configs/bert-base-uncased.yaml"


@dataclass(frozen=True)
class TokenSettings:
    """How captions become token shards; a key of the YAML file each."""

    bert_name: str = key("BERT: hub name, or local folder in Hugging Face layout", unit="path")
    caption_pkl_path: str = key("captions: a .json, or a .pkl of JSON text", unit="path")
    target_dir: str = key("folder of the token shards", unit="path")
    use_fast: bool = key("the tokenizer in Rust, not the one in Python", True)
    vfeat_dir: str | None = key("folder of SPLIT_meta.pkl (default: target_dir)", unit="path")
    splits: list[str] | None = key("of train, val (default: those with a meta file)")  # noqa: RUF009
    processes: int = key("processes that tokenise", 1, low=1, high=512)
    token_pickle: bool = key("write NAME.BERTNAME.pkl beside the captions as well", True)

    @property
    def meta_dir(self) -> Path:
        """Where the meta files are."""
        return Path(self.vfeat_dir or self.target_dir)


def read_settings(path: Path) -> TokenSettings:
    """Reads the YAML file; `splits` is filled in.

    Raises:
        ConfigError: it is missing or no YAML mapping; a key is unknown, missing, of another type
            or out of bounds; there is no meta file.
    """
    settings = TokenSettings(**read_settings_file(path, TokenSettings, REQUIRED, EXAMPLE))
    return replace(settings, splits=_splits(settings, path))


def _splits(settings: TokenSettings, path: Path) -> list[str]:
    unknown = [split for split in settings.splits or () if split not in SPLITS]
    if unknown or settings.splits == []:
        raise ConfigError(f"{path}: splits: got {settings.splits}; allowed: {', '.join(SPLITS)}")
    found = [split for split in SPLITS if meta_path(settings.meta_dir, split).is_file()]
    missing = [split for split in settings.splits or () if split not in found]
    if missing or not found:
        wanted = ", ".join(f"{split}_meta.pkl" for split in missing or SPLITS)
        name = "vfeat_dir" if settings.vfeat_dir else "target_dir"
        raise ConfigError(
            f"{path}: {name} {settings.meta_dir} holds no {wanted}: the token shards follow the "
            "feature shards; make those first (mmpt shard), or name their folder in vfeat_dir"
        )
    return list(dict.fromkeys(settings.splits or found))

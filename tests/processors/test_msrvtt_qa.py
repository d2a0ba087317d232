"""MSR-VTT's multiple-choice questions."""

import pytest

from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import ConfigError, DataError
from mmpt.processors import MSRVTTQAMetaProcessor

HEADER = ("key", "vid_key", "a1", "a2", "a3", "a4", "a5", "answer")
GOOD = ("mc0", "msr7010", "a dog", "a cat", "one, two", "it rains", "we stir", "2")


@pytest.fixture
def config(tmp_path, tinybert, put_features):
    """`config(row, ..., **changes)`: a section whose table has these rows."""

    def make(*rows, header=HEADER, **changes):
        (tmp_path / "qa.csv").write_text("".join("\t".join(r) + "\n" for r in (header, *rows)))
        return {
            "split": "test",
            "meta_processor": "MSRVTTQAMetaProcessor",
            "video_processor": "VideoProcessor",
            "text_processor": "MSRVTTQATextProcessor",
            "aligner": "MSRVTTQAAligner",
            "test_path": str(tmp_path / "qa.csv"),
            "vfeat_dir": put_features({"video7010": 5, "video7011": 40}),
            "vfeat_dim": 2,
            "bert_name": str(tinybert),
            "max_video_len": 16,
            "max_len": 32,
            **changes,
        }

    return make


def test_a_batch_of_questions(config):
    other = ("mc1", "msr7011", *GOOD[2:7], "0")
    data = MMDataset.from_config(config(GOOD, other, GOOD))  # a video may have several questions
    batch = data.collater([data[i] for i in range(3)])
    assert batch["caps"].shape == batch["cmasks"].shape == (3, 5, 16)
    assert batch["vfeats"].shape == (3, 16, 2)
    assert batch["vmasks"].sum(1).tolist() == [5, 16, 5]
    assert batch["answers"].tolist() == [[2], [0], [2]]
    assert batch["video_id"] == ["video7010", "video7011", "video7010"]
    tokenizer = data.text_processor.tokenizer
    assert tokenizer.decode(batch["caps"][0, 4][batch["cmasks"][0, 4]]).split()[2:-1] == [
        *tokenizer.decode(tokenizer("we stir", add_special_tokens=False)["input_ids"]).split()
    ]


def test_a_sentence_may_begin_with_a_quotation(config):
    (question,) = MSRVTTQAMetaProcessor(config(("m", "msr7010", '"big" dog', *GOOD[3:]))).data
    assert question[1][0][0] == "big dog"


def test_the_key_is_not_needed(config):
    assert len(MSRVTTQAMetaProcessor(config(GOOD[1:], header=HEADER[1:]))) == 1


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([GOOD], ("key", "vid", *HEADER[2:]), "no column 'vid_key'; it has key, vid, a1, a2"),
        ([GOOD[:-1]], HEADER[:-1], "no column 'answer'"),
        ([], HEADER, "the table has no row"),
        ([GOOD, (*GOOD[:-1], "5")], HEADER, "row 1: answer is '5'; allowed: 0, 1, 2, 3, 4"),
        ([(*GOOD[:-1], "a2")], HEADER, "row 0: answer is 'a2'"),
        ([("m", "video1", *GOOD[2:])], HEADER, "row 0: vid_key is 'video1'; expected is msr and a"),
        ([GOOD[:-1]], HEADER, "row 0 has no answer"),
        ([("m", "msr1", "", *GOOD[3:])], HEADER, "row 0 has no a1"),
        ([(*GOOD, "7")], HEADER, "row 0 has more values than the 8 columns; a tab inside a value"),
        ([("m", "msr1", '"a dog', *GOOD[3:])], HEADER, "row 0 has a line break in its a1: quotes"),
    ],
)
def test_bad_tables(rows, header, message, config, tmp_path):
    with pytest.raises(DataError) as caught:
        MSRVTTQAMetaProcessor(config(*rows, header=header))
    assert str(caught.value).startswith(f"{tmp_path / 'qa.csv'}: {message}")


def test_a_comma_separated_table_is_no_such_table(config, tmp_path):
    section = config(GOOD)
    (tmp_path / "qa.csv").write_text(",".join(HEADER) + "\n" + ",".join(GOOD) + "\n")
    with pytest.raises(DataError, match="no column 'vid_key'; it has key,vid_key,a1"):
        MSRVTTQAMetaProcessor(section)


def test_missing_files_and_keys(config):
    with pytest.raises(DataError, match=r"1 of the 2 videos of .*: video9; the size of this bench"):
        MSRVTTQAMetaProcessor(config(GOOD, ("m", "msr9", *GOOD[2:])))
    with pytest.raises(DataError, match=r"no such file; dataset\.test_path .*'MSR-VTT QA'"):
        MSRVTTQAMetaProcessor(config(GOOD, test_path="no.csv"))
    for key in ("test_path", "vfeat_dir"):
        with pytest.raises(ConfigError, match=rf"dataset\.{key} is not set"):
            MSRVTTQAMetaProcessor(config(GOOD, **{key: None}))

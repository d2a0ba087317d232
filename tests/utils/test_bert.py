"""Where a BERT comes from: a folder, the hub, or a line that says why it comes from neither."""

import http.server
import threading
import time

import pytest
from huggingface_hub import constants

from mmpt.errors import DataError
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


def test_a_folder_that_cannot_be_used_says_why(tmp_path):
    (tmp_path / "vocab.txt").write_text("[CLS]\n")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataError, match=rf"no usable tokenizer in the folder {tmp_path} \(.+\)"):
        load_tokenizer(str(tmp_path))

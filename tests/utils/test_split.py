"""Parts of a list of work."""

from mmpt.utils.split import Split


def test_parts_are_all_of_it_once():
    ids = [f"v{i}" for i in range(10)]
    parts = [Split(i, 3).part(ids) for i in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == ids
    assert sorted(map(len, parts)) == [3, 3, 4]
    assert Split(3, 3).part(ids[:2]) == []
    assert str(Split(2, 8)) == "2/8"

"""Captions and per-video features as the shards that pretraining reads.

    npyfile.py     one feature file, read without a detour
    writer.py      a shard written array by array
    shardids.py    which videos a shard was made for
    records.py     what a shard was made from: a second run makes only what is missing
    layout.py      names of shards, meta files and lists
    locks.py       one run at a time
    widths.py      numbers a second, where nobody says it
    features.py    feature files -> feature shards
    reports.py     what came of the lists, which videos were skipped
    jsonstream.py  a caption file, video by video
    tokens.py      captions -> token ids
    parallel.py    the same in several processes
    spool.py       token ids on the disk until a shard is complete
    captions.py    caption file -> token shards
    verify.py      lists, feature shards and token shards against each other

The commands are mmpt_cli/shard_feature.py and mmpt_cli/pretokenization.py.
"""

"""Captions and per-video features as the shards that pretraining reads.

    npyfile.py     one feature file, read without a detour
    writer.py      a shard written array by array
    records.py     what a shard was made from: a second run makes only what is missing
    layout.py      names of shards, meta files and lists
    features.py    feature files -> feature shards
    jsonstream.py  a caption file, video by video
    tokens.py      captions -> token ids
    spool.py       token ids on the disk until a shard is complete
    captions.py    caption file -> token shards
    verify.py      lists, feature shards and token shards against each other

The commands are mmpt_cli/shard_feature.py and mmpt_cli/pretokenization.py.
"""

#!/usr/bin/env bash
# HowTo100M's features as the paper's were made: S3D, 30 frames a second of 224 x 224 pixels, rows of
# length 1, stored as float16.
#
#   bash scripts/video_feature_extractor/how2/s3d.sh VIDEOS [OPTIONS of extract.py]
#
# VIDEOS    folders with the videos, separated by commas
# OPTIONS   such as --split 1/8, --slurm scripts/slurm/cluster.yaml, --num_decoding_thread 16
set -euo pipefail

if [ $# -lt 1 ]; then
    printf 'error: name the folder of the videos: bash %s VIDEOS [OPTIONS]\n' "$0" >&2
    exit 2
fi
videos=$1
shift

exec "${PYTHON:-python}" scripts/video_feature_extractor/extract.py \
    --vdir="$videos" \
    --fdir data/feat/feat_how2_s3d \
    --type s3d \
    --half_precision 1 \
    --l2_normalize 1 \
    "$@"

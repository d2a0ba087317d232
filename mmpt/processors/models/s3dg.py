"""`S3D` under its published path; it lives in mmpt/models/s3dg.py."""

from mmpt.models.s3dg import S3D

__all__ = ["S3D"]

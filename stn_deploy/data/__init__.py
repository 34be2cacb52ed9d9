"""Images and datasets in: files, folders, zips and LMDBs become uint8 BGR arrays with clear errors.

header      format, size and completeness of an image file, without decoding it
images      decoding, conversion to BGR, and the search for image files
datasets    images with their transcripts
labels      the table of their transcripts and places
thumbnails  what the localisation network looks at
files       writing completely or not at all
"""

from stn_deploy.data.datasets import Dataset, Sample, open_dataset
from stn_deploy.data.files import write_output, write_together, write_whole
from stn_deploy.data.header import ImageHeader, read_header
from stn_deploy.data.images import (
    IMAGE_SUFFIXES,
    MAX_MEGAPIXELS,
    FoundImage,
    as_bgr,
    decode_image,
    find_images,
    read_image,
    read_image_file,
)
from stn_deploy.data.thumbnails import thumbnail, thumbnail_batch, thumbnail_centres

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_MEGAPIXELS",
    "Dataset",
    "FoundImage",
    "ImageHeader",
    "Sample",
    "as_bgr",
    "decode_image",
    "find_images",
    "open_dataset",
    "read_header",
    "read_image",
    "read_image_file",
    "thumbnail",
    "thumbnail_batch",
    "thumbnail_centres",
    "write_output",
    "write_together",
    "write_whole",
]

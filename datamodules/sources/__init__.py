"""Sources of records, one file each: where a data set's texts, images and sounds come from."""

from datamodules.sources.base import Record as Record  # an alias, no class that a config may name
from datamodules.sources.base import Source
from datamodules.sources.docstrings import Docstrings
from datamodules.sources.folder import Folder
from datamodules.sources.hugging_face import HuggingFace
from datamodules.sources.photographs import Photographs
from datamodules.sources.table import Table
from datamodules.sources.text import TextFile
from datamodules.sources.tiny_shakespeare import TinyShakespeare
from datamodules.sources.tokens import Tokens
from datamodules.sources.torch_dataset import TorchDataset
from datamodules.sources.webdataset import WebDataset

__all__ = [
    "Docstrings", "Folder", "HuggingFace", "Photographs", "Source", "Table", "TextFile", "TinyShakespeare", "Tokens",
    "TorchDataset", "WebDataset",
]  # fmt: skip

"""The embedder of a weight file and the photographs that it is to embed, cut and mirrored as the file says."""

import numpy as np
import torch

from common.config import Config
from datasets.cut import cut_difference
from datasets.manifest import Manifest
from datasets.photographs.photographs import decode_all
from distributed.collectives import collect
from distributed.memory import keep_freed_memory
from distributed.processes import is_main_process, rank, world_size
from models.embed import Embeddings, embed_images, join
from models.layers.folding import folded
from models.model_file import is_exported, read_embedder


class PhotographEmbedder:
    """What evaluate.model_weight holds (`about`, `parameters`), ready to embed the photographs `known` on a device.

    Says in a line if they are not cut as those were that the weights learned from. Raises InputError for a file that is no
    such weights, before any photograph is read.
    """

    def __init__(self, config: Config, known: Manifest, device: torch.device):
        self.settings, self.side, self.known = config.evaluate, config.model.image_size, known
        weights = config.evaluate.model_weight
        shipped = read_embedder(weights)
        self.about, self.parameters = shipped.about, shipped.parameters
        self.embedder = shipped.embedder if is_exported(weights) else folded(shipped.embedder).to(device)
        difference = cut_difference(shipped.about.get("cut"), known, repr(weights))
        if difference:
            print(f"  {difference}")
        if device.type == "cpu":
            keep_freed_memory()

    def embed(self, mirrored: bool = False) -> Embeddings | None:
        """Decode and embed every photograph once; of several processes each its share. None for all but the leading one.

        mirrored: embed the mirror images, too, even if evaluate.flip does not ask for it.
        """
        places = np.arange(len(self.known))
        known = self.known.where(places * world_size() // len(places) == rank())  # shares that differ by one photograph at most
        images = (pixels for pixels, _ in decode_all(known, self.side, "embed photographs"))
        settings = self.settings
        flip = settings.flip or mirrored
        own = embed_images(self.embedder, images, known.file_names, settings.batch_size, flip) if len(known) else None
        shares = collect(own)
        return join([share for share in shares if share]) if is_main_process() else None

"""What every head is: something that turns maps into vectors, a linear layer, and perhaps a BatchNorm."""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval


class Head(nn.Module):
    """Maps [B, C, h, w] -> embeddings [B, D] float32, not normalised: `norm(linear(features(maps)))`.

    A constructor is given `in_channels` = C, `map_size` = (h, w) and `embedding_size` = D, if it asks for them; all other
    parameters are the head's own options, and `dropout` is one of every head's.

    linear: the last linear layer, which has a bias unless a BatchNorm follows. norm: that BatchNorm1d, or an Identity.
    """

    linear: nn.Linear
    norm: nn.Module

    def features(self, maps: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, F], what the linear layer reads."""
        raise NotImplementedError

    def forward(self, maps: Tensor) -> Tensor:
        return self.norm(self.linear(self.features(maps)))

    @torch.no_grad()
    def fold(self) -> None:
        """Take the BatchNorms beside the linear layer into it: in evaluation mode the same function, from fewer steps. For
        copies that will not be trained."""
        if not isinstance(self.norm, nn.Identity):
            self.linear = fuse_linear_bn_eval(self.linear, self.norm)
            self.norm = nn.Identity()

"""BatchNorm whose batch is that of all processes together."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from distributed.collectives import gather, total
from distributed.processes import world_size


def synchronise(module: nn.Module, device: torch.device) -> nn.Module:
    """Replace every BatchNorm inside `module` by one with the same weights over the batch of all processes.

    On a GPU that is the tensor library's own, which runs nowhere else.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for name, child in module.named_children():
        setattr(module, name, SynchronisedNorm(child) if isinstance(child, _BatchNorm) else synchronise(child, device))
    return module


class SynchronisedNorm(_BatchNorm):
    """nn.BatchNorm, 1d or 2d, to rounding, running statistics included, where every process has an equal share of a batch.

    It takes over the weights of `norm`, which should be affine and keep running statistics.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: _BatchNorm):
        super().__init__(norm.num_features, norm.eps, norm.momentum, device="meta")  # the weights are there already
        assert norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None
        self.share = norm.momentum  # of a batch in the running statistics
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked

    def forward(self, inputs: Tensor) -> Tensor:
        """[b, C, ...] -> the same shape and type."""
        if not self.training:
            return functional.batch_norm(inputs, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        outputs, mean, variance = Normalise.apply(inputs, self.weight, self.bias, self.eps)
        values = world_size() * inputs.numel() // inputs.shape[1]
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.share)
            self.running_var.lerp_(variance * (values / (values - 1)), self.share)
        return outputs


class Normalise(torch.autograd.Function):
    """inputs [b, C, ...], weight [C], bias [C] -> outputs, and mean and variance [C] of all processes' inputs, in float32."""

    @staticmethod
    def forward(ctx, inputs: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        ours = torch.batch_norm_update_stats(inputs.float(), None, None, 0.0)  # BatchNorm's own kernel; var_mean is slower
        means, variances = gather(torch.stack(ours)[None]).unbind(dim=1)  # [processes, C] each, variances without correction
        mean = means.mean(dim=0)
        variance = (variances + (means - mean).square()).mean(dim=0)  # within the shares and between them
        ctx.save_for_backward(inputs, weight, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return functional.batch_norm(inputs, mean, variance, weight, bias, eps=eps), mean, variance

    @staticmethod
    def backward(ctx, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        inputs, weight, mean, variance = ctx.saved_tensors
        precise = inputs.float()
        # With statistics that were given, and then what depends on the inputs through them.
        to_inputs, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            gradient.float(), precise, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        values = world_size() * inputs.numel() // inputs.shape[1]
        shift, slope = total(torch.stack([to_bias, to_weight])).div(values).unbind()  # [C] each
        scale = (variance + ctx.eps).rsqrt()
        slope = slope * scale  # per unit of the inputs, not of the normalised ones
        channels = [1, -1] + [1] * (inputs.ndim - 2)
        to_inputs.sub_((weight * scale * (shift - slope * mean)).view(channels))
        to_inputs.addcmul_(precise, (weight * scale * slope).view(channels), value=-1)
        return to_inputs.to(inputs.dtype), to_weight, to_bias, None

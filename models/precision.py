"""Mixed precision in training: convolutions and matrix products in bfloat16, sums and weights in float32."""

import torch


def choose_precision(name: str, device: torch.device) -> str:
    """ "auto" becomes bf16 on a device that multiplies such numbers itself (a GPU since Ampere, a CPU with AMX or
    AVX512-BF16), else fp32."""
    return name if name != "auto" else "bf16" if gains_from_bf16(device) else "fp32"


def gains_from_bf16(device: torch.device) -> bool:
    """Whether training is faster in bfloat16. On a CPU without instructions for it conversions back and forth cost more."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def mixed_precision(name: str, device: torch.device) -> torch.autocast:
    """The context for a forward pass whose parts may run in the chosen precision; fp32 changes nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=choose_precision(name, device) == "bf16")

"""A discrete VAE that is small enough to enumerate its codes."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from seeded import seeded
from torch import Tensor

from gumbelrao_edu import st_gumbel_softmax
from gumbelrao_edu.vae import DiscreteVAE

ST_GS = partial(st_gumbel_softmax, tau=0.5)


def tiny(arity: int = 4, estimator=ST_GS) -> DiscreteVAE:
    """16 codes, 5 pixels."""
    return DiscreteVAE(
        arity,
        estimator,
        pixel_mean=torch.full([5], 0.4),
        hidden=(6,),
        latent_bits=4,
        generator=seeded(0),
    )


IMAGES = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1], [1, 1, 1, 1, 1]], dtype=torch.uint8)


def enumerate_codes(model: DiscreteVAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """log q(D|x) and log p(x|D) for all D, `[codes, batch]`."""
    choices = [torch.arange(model.arity)] * model.num_variables
    classes = torch.cartesian_prod(*choices).view(-1, model.num_variables)
    codes = F.one_hot(classes, model.arity).float()
    log_q = torch.einsum("cvn,bvn->cb", codes, model.encode(x).log_softmax(-1))
    pixels = model.decode(codes).unsqueeze(1).sigmoid()
    log_p = torch.where(x.bool(), pixels.log(), (1 - pixels).log()).sum(-1)
    return log_q, log_p

"""Tensors in pieces over several processes (FSDP), and in one piece for files and for others to read."""

import torch


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` in one piece; all processes that hold a piece have to ask."""
    full = getattr(tensor, "full_tensor", None)
    return full() if full is not None else tensor


def laid_out_as(like: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """`tensor`, which every process has in one piece, laid out as `like`."""
    mesh = getattr(like, "device_mesh", None)
    if mesh is None:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    # Each takes its piece of its own copy, so that nothing is sent.
    placements = like.placements
    return distribute_tensor(tensor.to(like.device), mesh, placements, src_data_rank=None)


def split_on_cpu(accelerator) -> None:
    """Accelerate splits models over GPUs only; told so, its code does the same over processes without."""
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    accelerator.state.distributed_type = DistributedType.FSDP
    # As the launcher put it into the environment, as for GPUs.
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()

"""RIFE on frames that are larger than those it found motion between."""

import torch

from stsr_cli.temporal.rife import RIFE

SMALL = {"scales": [2, 1], "num_channels": [8, 8], "num_convs": 1}


def test_large_frames_are_only_moved_where_they_are_not_refined() -> None:
    frame0, frame1 = torch.rand(1, 3, 48, 48), torch.rand(1, 3, 48, 48)
    motion = torch.zeros(1, 5, 48, 48)
    motion[:, 0], motion[:, 3] = 4, -8  # 4 pixels to the right in frame0, 8 up in frame1
    plain = RIFE(**SMALL, refines_large=False)
    fused = (frame0.roll(-4, dims=3) + frame1.roll(8, dims=2)) / 2
    made = plain.render(frame0, frame1, motion, ratio=4)
    assert torch.allclose(made[..., 12:-12, 12:-12], fused[..., 12:-12, 12:-12], atol=1e-5)


def test_frames_of_the_motion_s_size_are_refined_as_ever() -> None:
    torch.manual_seed(0)
    refined = RIFE(**SMALL)
    for parameter in refined.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    plain = RIFE(**refined.config | {"refines_large": False})
    plain.load_state_dict(refined.state_dict())
    frames = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    motion = refined.find_motion(*frames)
    assert torch.equal(plain.find_motion(*frames), motion)
    assert torch.equal(plain.render(*frames, motion), refined.render(*frames, motion))
    assert not torch.equal(
        plain.render(*frames, motion, ratio=2), refined.render(*frames, motion, ratio=2)
    )

"""DVF's flow: a share of the frame as in the paper, or of a fixed extent, which makes frames of any size alike."""

import torch

from stsr_cli.registry import build


def centre(frame: torch.Tensor, size: int) -> torch.Tensor:
    height, width = frame.shape[-2:]
    y, x = (height - size) // 2, (width - size) // 2
    return frame[..., y : y + size, x : x + size]


def middle_of_two_sizes(flow_extent: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The centre of the frame in between, computed from whole frames and from a crop of them."""
    torch.manual_seed(3)
    dvf = build("temporal", "dvf", {"num_channels": 4, "flow_extent": flow_extent}).eval()
    torch.nn.init.normal_(dvf.conv4.weight, std=0.05)
    frame0, frame1 = torch.rand(2, 1, 3, 384, 384)
    with torch.inference_mode():
        whole = dvf(frame0, frame1)
        crop = dvf(centre(frame0, 256), centre(frame1, 256))
    return centre(whole, 16), centre(crop, 16)


def test_with_a_fixed_extent_the_size_of_the_frame_does_not_matter() -> None:
    whole, crop = middle_of_two_sizes(flow_extent=64)
    # Positions in larger frames are rounded more coarsely; in white noise that shows.
    torch.testing.assert_close(whole, crop, atol=1e-3, rtol=0)


def test_as_in_the_paper_flow_grows_with_the_frame() -> None:
    whole, crop = middle_of_two_sizes(flow_extent=0)
    assert (whole - crop).abs().max() > 0.05

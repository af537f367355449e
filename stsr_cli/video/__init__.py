"""Video files in and out: the only package that talks to PyAV, and it knows no torch.

- `probe.probe(path)`: what a file holds, as a `SourceInfo`; `describe`: in words.
- `reader.read_frames(path_or_source)`: RGB frames with exact integer timestamps, lazily. `hardware` decodes on a
  device, `cropping` cuts off what the container says.
- `writer.open_writer(target, source, encode, ...)`: encodes, copies the other tracks, verifies what was written and
  renames it into place. `target`: names of outputs; `written.Writer`: what all kinds of output have in common; `trial`:
  what a container holds, found by trying; `sizes`: how many bytes that takes.
- `timing/`: when frames are shown, and which. `colour/`: what pixels mean. `tracks/`: everything beside the video.
  `encode/`: what the encoder gets. `images/`, `pipes/`: what is no video file. `check/`: the verification.

Importing this package imports none of its modules, so `stsr --help` never loads PyAV.
"""

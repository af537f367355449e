"""Video files in and out: the only package that talks to PyAV, and it knows no torch.

- `probe.probe(path)`: what a file holds, as a `SourceInfo`.
- `reader.read_frames(path_or_source)`: RGB frames with exact integer timestamps, lazily.
- `timeline`: which output frames, at which pts, for how long; pure integers and fractions.
- `writer.open_writer(target, source, encode, ...)`: encodes, copies the other tracks, verifies what
  was written and renames it into place; `encoder` settles beforehand what the codec takes.
- `colour`: what the tags of a stream mean; `convert`: pixel formats to RGB and back accordingly; `chroma`: where
  chroma samples lie; `alpha`, `hdr`: what comes with colours; `keeping`: whether an encoder keeps it; `tonemap`: HDR
  to SDR; `pixel_format`: which one the output gets.
- `plan.plan_output(source, target, options)`: what becomes of every other track, found by trying; `tags`:
  likewise of tags, chapters and languages; `tracks`: packets on their way; `recode`: to another codec.
- `verify`: what is really in a written file.
- `sequence`: names of numbered images; `image_reader`, `sequence_writer`: their pictures. `pipe`, `output_pipe`: the
  standard input and output. `written.Writer`: what all kinds of output have in common.

Importing this package imports none of its modules, so `stsr --help` never loads PyAV.
"""

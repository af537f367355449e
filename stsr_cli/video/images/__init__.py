"""Still images: sequences of them in and out, and single ones as bytes.

- `sequence`: names of numbered images; `image_reader`, `sequence_writer`: their pictures; `still`: one picture.
- `moving_webp`: one that moves, as a stream.
"""

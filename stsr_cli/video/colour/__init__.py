"""What pixels mean: tags, depth, chroma, light, transparency, and the way to RGB and back.

- `meaning`: what the tags of a stream say, read, guessed and passed on.
- `convert`: decoded frames to RGB arrays and back (`to_rgb`, `from_rgb`, `levels`); `chroma`: where its samples lie.
- `hdr`: light levels of PQ and HLG; `tonemap`: to SDR; `alpha`: transparency.
- `pixel_format`: which one the output gets; `keeping`: what an encoder keeps of all that.
"""

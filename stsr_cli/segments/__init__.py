"""A long run in parts that are done or not: where they begin, and the journal of those that are done.

- `grid`: where a segment begins.
- `journal`: the work folder, what is in it, what is missing.

What is in a segment is the engine's business (`upscale.segmented`), how it is stored `video.segment`'s.
"""

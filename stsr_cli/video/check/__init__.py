"""Comparing a written file with what went into it.

- `verify`: what must be the same; `readback`: what is there; `picture`: what a container keeps of a picture.
"""

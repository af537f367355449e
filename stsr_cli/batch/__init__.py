"""Many files, one after the other, each with a state of its own.

- `inputs`: which files are meant; `naming`: what their outputs are called; `journal`: which of them are done.
- `plan`: all of that, settled before the first network runs; `run`: file by file, and what became of each.
"""

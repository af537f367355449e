"""The standard input and output, each read or written once.

- `pipe`: one demuxer for pictures and tracks; `output_pipe`: nothing but the stream on the standard output.
"""

"""When frames are shown, and which: exact times, excerpts, constant rates, fields, cuts and repeats.

- `timeline`: pts of the output, timestamps repaired; `clock`: what must be known of a format's clock first.
- `excerpt`: --start and --end; `retime`: --fps and --vfr cfr; `deinterlace`: fields.
- `scenes`: cuts between shots; `repeats`: held drawings; `coding_order`: the times of packets.
"""

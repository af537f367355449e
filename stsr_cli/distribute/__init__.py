"""Segments of one run made by many workers: processes of this machine, or tasks of a Ray cluster.

- `dispatch`: who makes which segment; a worker's death costs the segment it was at.
- `worker`: what a worker does with one.
- `local`, `cluster`: crews, which start workers and notice their death.
- `staging`: source and segments by URL, for machines that share no storage.

The one who calls keeps the journal and joins the segments, as without workers (`upscale.segmented`).
"""

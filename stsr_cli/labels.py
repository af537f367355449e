"""What people read instead of the names that the code and the logs give to losses and measurements."""

LABELS = {
    "t2s": "T->S",
    "s2t": "S->T",
    "spatial": "f_S",
    "temporal_lr": "f_T low-res",
    "temporal_hr": "f_T high-res",
    "given": "given frames",
    "new": "new frames",
    "loss": "loss",
    "reconstruction": "L_R",
    "consistency": "L_C",
    "temporal": "f_T",
}


def label(name: str) -> str:
    """What people read for `name`; a name without a label says it itself."""
    return LABELS.get(name, name)

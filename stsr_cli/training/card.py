"""STUB."""


def run_card(options, weights, status):
    return ""

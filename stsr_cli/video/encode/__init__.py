"""How the output's video is encoded, settled before anything is opened.

- `encoder`: the plan; `codecs`: what encoders call things, and what they take; `encoder_options`: -e KEY=VALUE.
- `geometry`: size and pixel shape; `orientation`: which way up.
"""

"""Everything beside the upscaled video: sound, subtitles, chapters, attachments, data, tags.

- `plan`: what becomes of each, found by trying; `tags`: likewise of tags, chapters, languages and flags.
- `copier`: packets on their way; `lane`: those of one track; `recode`: to another codec.
"""

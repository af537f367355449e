"""Pictures for people: curves of a run, images side by side. The one owner of matplotlib, imported on the first use."""

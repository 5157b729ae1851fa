# Slicer writes the extension's own config here; nothing of ours depends on it.

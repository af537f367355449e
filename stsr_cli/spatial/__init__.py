"""f_S: the spatial super-resolution modules, one file each."""

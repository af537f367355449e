"""f_T: the temporal super-resolution modules, one file each."""

"""HDF5 as an index of bytes: a child process parses, the parent checks what it says and maps the arrays."""
